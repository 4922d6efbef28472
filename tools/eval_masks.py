"""Scores folders of predicted masks against reference masks."""

from _path import run

if __name__ == "__main__":
    run("eval_masks")
