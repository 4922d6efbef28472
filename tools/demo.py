"""Segments a video, starting from a mask of its first frame."""

from _path import run

if __name__ == "__main__":
    run("demo")
