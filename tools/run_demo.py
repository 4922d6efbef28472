"""The whole tour in one command: synthetic videos, two baselines, the model of vosplug, a short training."""

from _path import run

if __name__ == "__main__":
    run("run_demo")
