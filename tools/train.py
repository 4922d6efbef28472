"""Train a model from a config."""

from _path import run

if __name__ == "__main__":
    run("train")
