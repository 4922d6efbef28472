"""Writes the weights of a training run as they come with vosplug: float16, with the name of their config.

    python tools/pack_weights.py stcn_lite work_dirs/stcn_lite/final.pth vosplug/weights/stcn_lite.pth
"""

import argparse

import _path  # noqa: F401

from vosplug.cli.common import command
from vosplug.weights.packing import pack


def build_parser() -> argparse.ArgumentParser:
    """The arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", help="name of the config")
    parser.add_argument("checkpoint", help="weights of the training run")
    parser.add_argument("out", help="file to write")
    return parser


@command
def main(argv: list[str] | None = None) -> None:
    """Write the file and print its hash, which vosplug/weights/__init__.py and the card state."""
    options = build_parser().parse_args(argv)
    print(pack(options.checkpoint, options.out, config=options.config))


if __name__ == "__main__":
    raise SystemExit(main())
