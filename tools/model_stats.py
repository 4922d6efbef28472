"""Parameters, MiB and multiply-accumulates of a model, in total and per module."""

from _path import run

if __name__ == "__main__":
    run("model_stats")
