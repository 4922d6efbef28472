"""The whole tour in one command: synthetic data, a short training, scores beside two baselines, an overlay video."""

from _path import run

if __name__ == "__main__":
    run("run_demo")
