"""Plots the time of grid attention against the pairs of cells that it should grow with, and tells the slope.

The rows "grid, growing" come from `tools/benchmark_ops.py --op sst_attention --json FILE`. Grid attention looks at
(T + H + W) THW pairs of T x H x W cells; a slope of one in logarithms means that time grows as they do.
"""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

import _path  # noqa: F401  (lets the scripts run from a clone that is not installed)
import numpy as np

from vosplug.cli.common import command, new_parser
from vosplug.utils.errors import DataError, InputError
from vosplug.utils.files import read_json
from vosplug.visualization.figures import need_matplotlib, new_figure, save_figure

NOTE = "grid, growing"


def build_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = new_parser(__doc__)
    parser.add_argument("rows", type=Path, help="JSON file of tools/benchmark_ops.py --op sst_attention")
    parser.add_argument("--out", type=Path, required=True, metavar="PNG", help="picture to write")
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Read, print the slope, draw."""
    options = build_parser().parse_args(argv)
    if options.out.suffix != ".png":
        raise InputError(f"--out must end with .png, got {options.out}")
    need_matplotlib()
    pairs, times = growing(options.rows)
    exponent = slope(pairs, times)
    print(f"{len(pairs)} sizes, time grows as ((T + H + W) THW)^{exponent:.3f}")
    draw(pairs, times, exponent, options.out)
    print(f"written: {options.out}")
    return 0


def growing(path: Path) -> tuple[list[int], list[float]]:
    """(T + H + W) THW and milliseconds of each size that was measured.

    Raises:
        DataError: the file has no two such sizes.
    """
    record = read_json(path)
    rows = record.get("rows", []) if isinstance(record, dict) else []
    chosen = [row for row in rows if row.get("note") == NOTE]
    if len(chosen) < 2:
        raise DataError(f"{path}: two rows '{NOTE}' are needed: see tools/benchmark_ops.py --op sst_attention")
    sizes = [[int(number) for number in re.findall(r"\d+", row["shape"])][2:] for row in chosen]
    return [sum(size) * int(np.prod(size)) for size in sizes], [row["ours_ms"] for row in chosen]


def slope(pairs: Sequence[float], times: Sequence[float]) -> float:
    """Of the logarithm of time against that of the pairs (least squares)."""
    return float(np.polyfit(np.log(pairs), np.log(times), 1)[0])


def draw(pairs: Sequence[float], times: Sequence[float], exponent: float, path: Path) -> None:
    """Both axes logarithmic; beside the points a line of slope one."""
    figure = new_figure(4.5, 3)
    axes = figure.add_subplot()
    middle = np.exp(np.mean(np.log(times)) - np.mean(np.log(pairs)))
    axes.loglog(pairs, middle * np.array(pairs), color="0.7", linewidth=1, label="slope 1")
    axes.loglog(pairs, times, "o-", markersize=4, linewidth=1, label=f"grid attention, slope {exponent:.2f}")
    axes.set(xlabel="(T + H + W) THW", ylabel="ms, one thread")
    axes.grid(alpha=0.3, which="both")
    axes.legend(frameon=False, fontsize=8)
    save_figure(figure, path)


if __name__ == "__main__":
    raise SystemExit(main())
