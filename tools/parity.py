"""Recompute golden outputs of official implementations and compare every tensor."""

from _path import run

if __name__ == "__main__":
    run("parity")
