"""Measures speed and memory of a model on a video."""

from _path import run

if __name__ == "__main__":
    run("benchmark")
