"""Convert a published checkpoint to vosplug's names."""

from _path import run

if __name__ == "__main__":
    run("convert_checkpoint")
