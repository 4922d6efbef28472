"""Draws the terms of the loss of trainings from their logs, over the iterations; several runs in one picture.

A term is a name of the log without ``loss_`` (inter, intra, att, kl, ...), ``loss`` for their sum, or several joined by
``+``. Weights are in what is logged.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import _path  # noqa: F401  (lets the scripts run from a clone that is not installed)

from vosplug.cli.common import command, new_parser, positive_int, write_numbers
from vosplug.inference.memory_log import need_matplotlib
from vosplug.utils.errors import DataError, InputError, did_you_mean
from vosplug.utils.files import write_via

LOG = "scalars.json"
FIRST, LAST = 1 / 20, 1 / 10  # shares of a run that the table compares
Curve = list[tuple[int, float]]


def build_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = new_parser(__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="work dir of a training; NAME=DIR names it")
    parser.add_argument("--terms", nargs="+", metavar="TERM", help="what to draw (default: every term and their sum)")
    parser.add_argument("--smooth", type=positive_int, default=1, metavar="N", help="mean over N logged values")
    parser.add_argument("--out", type=Path, required=True, metavar="PNG", help="the picture")
    parser.add_argument("--json", type=Path, metavar="F", help="write the numbers of the table")
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Read the logs, draw the picture, print the table."""
    options = build_parser().parse_args(argv)
    need_matplotlib()
    runs = dict(named(run) for run in options.runs)
    logs = {name: read_log(folder) for name, folder in runs.items()}
    curves = {name: {term: curve(log, term, runs[name]) for term in options.terms or terms_of(log)}
              for name, log in logs.items()}
    draw(curves, options.smooth, options.out)
    numbers = {name: {term: change(points) for term, points in of_run.items()} for name, of_run in curves.items()}
    print_table(numbers)
    if options.json:
        write_numbers(options.json, numbers)
    return 0


def named(run: Path) -> tuple[str, Path]:
    """Name and folder of a run that was given as NAME=DIR or DIR."""
    name, equals, folder = str(run).partition("=")
    return (name, Path(folder)) if equals else (run.resolve().name, run)


def read_log(run: Path) -> list[dict]:
    """What a training logged, in order of its iterations; those of a later stage are counted on.

    Raises:
        DataError: there is no log, or a line of one is damaged.
    """
    stages = sorted((path for path in run.glob("[0-9]*_*") if path.is_dir() and not path.name[:8].isdigit()),
                    key=lambda path: int(path.name.partition("_")[0])) if run.is_dir() else []
    rows: list[dict] = []
    for folder in stages or [run]:
        own: dict[int, dict] = {}
        for path in sorted(folder.rglob(LOG)) if folder.is_dir() else []:  # one for each time it was resumed
            own.update(read_rows(path))
        before = rows[-1]["step"] if rows else 0
        rows += [{**own[step], "step": before + step} for step in sorted(own)]
    if not rows:
        raise DataError(f"{run} has no log of a training ({LOG}): give the work dir that tools/train.py wrote")
    return rows


def read_rows(path: Path) -> dict[int, dict]:
    """Rows with losses of a log, by iteration."""
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
    rows = (read_row(line, f"{path}, line {number}") for number, line in lines)
    return {row["step"]: row for row in rows if "loss" in row}


def read_row(line: str, where: str) -> dict:
    """One line of a log."""
    try:
        row = json.loads(line)
        return {**row, "step": int(row["step"])}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{where}: not a line of a training log ({error})") from error


def terms_of(log: Sequence[Mapping]) -> list[str]:
    """The terms of a run, their sum last."""
    return [*dict.fromkeys(key.removeprefix("loss_") for row in log for key in row if key.startswith("loss_")), "loss"]


def curve(log: Sequence[Mapping], term: str, run: Path) -> Curve:
    """(iteration, value) of a term."""
    keys = ["loss" if name == "loss" else f"loss_{name}" for name in term.split("+")]
    for name, key in zip(term.split("+"), keys, strict=True):
        if not any(key in row for row in log):
            known = terms_of(log)
            raise InputError(f"{run} logged no term {name!r}.{did_you_mean(name, known)} Terms: {', '.join(known)}.")
    return [(row["step"], sum(row[key] for key in keys)) for row in log if all(key in row for key in keys)]


def smoothed(points: Curve, count: int) -> Curve:
    """The mean of each value and those before it, ``count`` in all."""
    found = []
    for end in range(1, len(points) + 1):
        part = points[max(0, end - count) : end]
        found.append((part[-1][0], sum(value for _, value in part) / len(part)))
    return found


def change(points: Curve) -> dict[str, float]:
    """Means over the first twentieth and the last tenth of the iterations, at least one logged value each."""
    total = points[-1][0]
    first = [value for step, value in points if step <= FIRST * total] or [points[0][1]]
    last = [value for step, value in points if step > (1 - LAST) * total]
    begin, end = sum(first) / len(first), sum(last) / len(last)
    return {"first": begin, "last": end, "ratio": end / begin if begin else float("nan")}


def draw(curves: Mapping[str, Mapping[str, Curve]], smooth: int, out: Path) -> None:
    """One panel for each term, one line for each run."""
    from matplotlib.figure import Figure

    terms = list(dict.fromkeys(term for of_run in curves.values() for term in of_run))
    figure = Figure(figsize=(4.2 * len(terms), 3.4), layout="constrained")
    for number, term in enumerate(terms, start=1):
        panel = figure.add_subplot(1, len(terms), number)
        for color, (name, of_run) in enumerate(curves.items()):
            if term in of_run:
                panel.plot(*zip(*smoothed(of_run[term], smooth), strict=True), color=f"C{color}", label=name)
        panel.set(title=term, xlabel="iteration", ylim=(0, None))
        panel.legend(fontsize="small")
    write_via(out, lambda name: figure.savefig(name, format="png", dpi=120) or True)


def print_table(numbers: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
    """Means at the beginning and at the end of each run."""
    from rich.console import Console
    from rich.table import Table

    table = Table("run", "term", "first twentieth", "last tenth", "ratio")
    for name, of_run in numbers.items():
        for term, values in of_run.items():
            table.add_row(name, term, *(f"{values[key]:.4f}" for key in ("first", "last", "ratio")))
    Console().print(table)


if __name__ == "__main__":
    raise SystemExit(main())
