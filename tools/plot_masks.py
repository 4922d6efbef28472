"""Draws masks of several methods over the same frames: a row for each method, a column for each frame."""

import argparse
from pathlib import Path

import _path  # noqa: F401  (lets the scripts run from a clone that is not installed)
import cv2
import numpy as np

from vosplug.cli.common import check_targets, command, named_folder, new_parser, positive_int
from vosplug.inference.opening import open_reader
from vosplug.utils.errors import DataError, InputError
from vosplug.utils.images import resize_image, write_image
from vosplug.utils.masks import read_mask
from vosplug.visualization.overlay import draw_overlay

QUALITY = 80  # of a JPEG


def build_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = new_parser(__doc__)
    parser.add_argument("images", help="video file or folder of images")
    parser.add_argument("rows", nargs="+", metavar="NAME=MASKS",
                        help="folder of masks (of tools/test.py --out DIR: DIR/<video>), and what to call it")
    parser.add_argument("--frames", nargs="+", type=int, required=True, metavar="N", help="indices; the first is 0")
    parser.add_argument("--width", type=positive_int, default=200, metavar="N", help="of a frame (default 200)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the picture, .jpg or .png")
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Read, draw, write."""
    options = build_parser().parse_args(argv)
    check_targets(options.out)
    rows = [named_folder(row) for row in options.rows]
    frames = read_frames(options.images, options.frames)
    picture = np.concatenate([drawn_row(name, masks, frames, options.width) for name, masks in rows])
    write_image(options.out, picture, QUALITY)
    print(f"written: {options.out}")
    return 0


def read_frames(images: str, indices: list[int]) -> dict[str, np.ndarray]:
    """The frames that are asked for, by their names, in the order of ``indices``."""
    found = {}
    with open_reader(images, prefetch=0) as reader:
        for frame in reader:
            if frame.index in indices:
                found[frame.index] = frame.name, frame.image
            if len(found) == len(set(indices)):
                break
    lacking = next((index for index in indices if index not in found), None)
    if lacking is not None:
        raise InputError(f"--frames: {images} has no frame {lacking}")
    return dict(found[index] for index in indices)


def drawn_row(name: str, masks: Path, frames: dict[str, np.ndarray], width: int) -> np.ndarray:
    """The frames side by side with the masks of one method, under its name."""
    cells = []
    for stem, image in frames.items():
        labels = read_mask(masks / f"{stem}.png")
        if labels.shape != image.shape[:2]:
            raise DataError(f"{masks / stem}.png is {labels.shape[1]} x {labels.shape[0]}, its frame "
                            f"{image.shape[1]} x {image.shape[0]} (width x height)")
        height = round(width * image.shape[0] / image.shape[1])
        cells.append(resize_image(draw_overlay(image, labels), (height, width)))
    row = np.ascontiguousarray(np.concatenate(cells, axis=1))
    for colour, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(row, name, (5, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, thickness, cv2.LINE_AA)
    return row


if __name__ == "__main__":
    raise SystemExit(main())
