"""Make a synthetic data set in the DAVIS, YouTube-VOS and YouTube-VIS layouts."""

from _path import run

if __name__ == "__main__":
    run("make_synthetic")
