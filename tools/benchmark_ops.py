"""Time the operators against the best alternative that PyTorch offers."""

from _path import run

if __name__ == "__main__":
    run("benchmark_ops")
