"""Segments the videos of a data set and scores them."""

from _path import run

if __name__ == "__main__":
    run("test")
