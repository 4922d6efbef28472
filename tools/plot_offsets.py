"""Draws where deformable attention reads its memory."""

from _path import run

if __name__ == "__main__":
    run("plot_offsets")
