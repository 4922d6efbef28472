"""Draws how far one cell is heard through the layers of attention of a config, as SST's Fig. 1 does."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import _path  # noqa: F401  (lets the scripts run from a clone that is not installed)
import numpy as np

from vosplug.cli.common import check_targets, command, load_config, new_parser, positive_int, write_numbers
from vosplug.models.attentions.reach import reached
from vosplug.registry import ATTENTIONS
from vosplug.utils.errors import InputError
from vosplug.visualization.figures import need_matplotlib, new_figure, save_figure

COLOURS = ("#ffffff", "#08306b", "#2171b5", "#6baed6", "#c6dbef")  # never, layer 1, 2, 3, and later


def build_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = new_parser(__doc__)
    parser.add_argument("config", nargs="+", help="configs whose matching head has attentions; a row of pictures each")
    parser.add_argument("--size", type=positive_int, nargs=3, default=(4, 16, 16), metavar=("T", "H", "W"),
                        help="frames, rows and columns of cells (default 4 16 16)")
    parser.add_argument("--cell", type=int, nargs=3, metavar=("T", "Y", "X"),
                        help="frame, row and column of the cell (default: in the middle of the last frame)")
    parser.add_argument("--out", type=Path, required=True, metavar="PNG", help="picture to write")
    parser.add_argument("--json", metavar="F", help="write as JSON how many cells each layer adds")
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Compute, print a line per config, draw."""
    options = build_parser().parse_args(argv)
    check_targets(options.json)
    if options.out.suffix != ".png":
        raise InputError(f"--out must end with .png, got {options.out}")
    need_matplotlib()
    size = tuple(options.size)
    cell = tuple(options.cell or (size[0] - 1, size[1] // 2, size[2] // 2))
    if not all(0 <= place < length for place, length in zip(cell, size, strict=True)):
        raise InputError(f"--cell {' '.join(map(str, cell))} does not lie in --size {' '.join(map(str, size))}")
    layers = {name: layers_of(name, size, cell) for name in options.config}
    numbers = {name: np.bincount(first.ravel())[1:].tolist() for name, first in layers.items()}
    for name, counts in numbers.items():
        total = f"{sum(counts)} of {size[0] * size[1] * size[2]} cells"
        print(f"{name}: {' + '.join(map(str, counts))} = {total}")
    write_numbers(options.json, {"size": size, "cell": cell, "cells_by_layer": numbers})
    draw(layers, options.out)
    print(f"written: {options.out}")
    return 0


def layers_of(name: str, size: tuple[int, int, int], cell: tuple[int, int, int]) -> np.ndarray:
    """By which layer of a config the cells (T, H, W) hear of ``cell``; 0 for never."""
    head = load_config(name).model.get("matching_head") or {}
    if not head.get("attentions"):
        raise InputError(f"the matching head of {name} names no attentions: there is nothing to draw")
    attentions = [ATTENTIONS.build(attention) for attention in head.attentions]
    return reached(attentions, size, cell, causal=bool(head.get("causal"))).numpy()


def draw(layers: Mapping[str, np.ndarray], path: Path) -> None:
    """A row per config, a column per frame; the darker, the earlier the layer."""
    from matplotlib.colors import to_rgb

    palette = np.array([to_rgb(colour) for colour in COLOURS])
    rows: Sequence[np.ndarray] = list(layers.values())
    frames, height, width = rows[0].shape
    figure = new_figure(1.6 * frames, 0.3 + 1.8 * len(rows) * height / width)
    grid = figure.subplots(len(rows), frames, squeeze=False)
    for line, (name, first) in zip(grid, layers.items(), strict=True):
        for t, (axes, cells) in enumerate(zip(line, first, strict=True)):
            axes.imshow(palette[np.minimum(cells, len(COLOURS) - 1)])
            axes.set_xticks([])
            axes.set_yticks([])
            axes.set_title(f"{Path(name).stem}, frame {t}" if t == 0 else f"frame {t}", fontsize=7)
    save_figure(figure, path)


if __name__ == "__main__":
    raise SystemExit(main())
