"""Draws quality against speed and memory of several methods, and prints the table of it.

The quality is a file of ``tools/test.py --json`` or a number of percent, the cost one of ``tools/benchmark.py --json``;
of ``tools/test.py --json``, which knows no memory, where a method cannot be benchmarked (baselines).
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import _path  # noqa: F401  (lets the scripts run from a clone that is not installed)

from vosplug.cli.common import check_targets, command, new_parser, write_numbers
from vosplug.utils.errors import DataError, InputError
from vosplug.utils.files import read_json
from vosplug.visualization.figures import need_matplotlib, new_figure, save_figure

SCORE, FPS, MEMORY = "J&F-Mean", "fps", "peak_mem_mib"


def build_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = new_parser(__doc__)
    parser.add_argument("--point", nargs=3, action="append", required=True, metavar=("NAME", "QUALITY", "COST"),
                        help="a method; may be given several times")
    parser.add_argument("--out", type=Path, required=True, metavar="PNG", help="the picture")
    parser.add_argument("--json", type=Path, metavar="F", help="write the numbers of the table")
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Read, draw, print the table."""
    options = build_parser().parse_args(argv)
    check_targets(options.out, options.json)
    if options.out.suffix.lower() != ".png":
        raise InputError(f"--out {options.out}: a file that ends in .png was expected")
    need_matplotlib()
    points = {name: point_of(quality, cost) for name, quality, cost in options.point}
    if len(points) < len(options.point):
        raise InputError("--point: two methods have one name")
    draw(points, options.out)
    print_table(points)
    write_numbers(options.json, points)
    return 0


def point_of(quality: str, cost: str) -> dict[str, float | None]:
    """``J&F-Mean`` in percent, ``fps``, ``peak_mem_mib`` (None if unknown) of a method."""
    measured = read_json(cost)
    return {SCORE: score_of(quality), FPS: number(measured, FPS, cost),
            MEMORY: number(measured, MEMORY, cost) if MEMORY in measured else None}


def score_of(quality: str) -> float:
    """J&F in percent, of a number or of a file."""
    try:
        score = float(quality)
    except ValueError:
        return 100 * number(read_json(quality), SCORE, quality)
    if not 0 <= score <= 100:
        raise InputError(f"--point: J&F must lie in 0..100, got {quality}")
    return score


def number(record: Any, key: str, path: str) -> float:
    """A number of a file."""
    if not isinstance(record, Mapping) or not isinstance(record.get(key), (int, float)):
        raise DataError(f"{path} has no number {key!r}: a file of tools/test.py --json or tools/benchmark.py --json "
                        "was expected")
    return float(record[key])


def draw(points: Mapping[str, Mapping[str, float | None]], out: Path) -> None:
    """Two panels: over frames per second, and over memory."""
    figure = new_figure(9, 3.6)
    for place, (key, label) in enumerate(((FPS, "frames per second"), (MEMORY, "peak memory, MiB")), start=1):
        panel = figure.add_subplot(1, 2, place)
        shown = {name: point for name, point in points.items() if point[key] is not None}
        for name, point in shown.items():
            panel.plot(point[key], point[SCORE], "o")
            panel.annotate(name, (point[key], point[SCORE]), textcoords="offset points", xytext=(5, 4), fontsize=8)
        if key == FPS and shown:
            panel.set_xscale("log")
        panel.margins(0.2)
        panel.set(xlabel=label, ylabel="J&F", ylim=(0, 100))
        panel.grid(alpha=0.3)
    save_figure(figure, out)


def print_table(points: Mapping[str, Mapping[str, float | None]]) -> None:
    """A row for each method."""
    from rich.console import Console
    from rich.table import Table

    table = Table("method", "J&F", "frames per second", "peak memory, MiB")
    for name, point in points.items():
        memory = "-" if point[MEMORY] is None else f"{point[MEMORY]:.0f}"
        table.add_row(name, f"{point[SCORE]:.1f}", f"{point[FPS]:.2f}", memory)
    Console().print(table)


if __name__ == "__main__":
    raise SystemExit(main())
