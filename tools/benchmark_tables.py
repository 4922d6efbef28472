"""Writes the tables of docs/benchmarks.md, each between its markers, from the JSON files of tools/benchmark_ops.py."""

import argparse
import re
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

import _path  # noqa: F401  (lets the scripts run from a clone that is not installed)

from vosplug.cli.common import command
from vosplug.utils.errors import DataError
from vosplug.utils.files import read_json, write_text

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
MARKED = re.compile(r"(<!-- table (\w+) (\S+) -->\n).*?(<!-- end of table -->\n)", re.DOTALL)
IN_PLACE = "in place, blob mask"


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table: the first column to the left, numbers to the right."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def layers(rows: list[dict]) -> str:
    """Layers, in place, in each type, against a dense convolution."""
    chosen = [row for row in rows if row["note"] == IN_PLACE]
    dtypes = list(dict.fromkeys(row["dtype"] for row in chosen))
    found = {(row["shape"], row["dtype"]): [f"{row['ours_ms']:.2f}", f"{row['rival_ms']:.2f}", f"{row['speedup']:.1f}"]
             for row in chosen}
    head = [name for dtype in dtypes for name in (f"{dtype}: ours ms", "dense ms", "times faster")]
    shapes = dict.fromkeys(row["shape"] for row in chosen)
    return markdown(["layer", *head], ([shape, *(cell for dtype in dtypes for cell in found[shape, dtype])]
                                       for shape in shapes))


def forms(rows: list[dict]) -> str:
    """Other forms of the first layer."""
    return markdown(("form", "type", "ours ms", "times faster"),
                    ([row["note"], row["dtype"], f"{row['ours_ms']:.2f}", f"{row['speedup']:.1f}"]
                     for row in rows if row["note"] != IN_PLACE))


def scaling(rows: list[dict]) -> str:
    """How much faster both sides are on all threads than on one."""
    found: dict[tuple, dict[bool, float]] = {}
    for row in rows:
        side = found.setdefault((row["shape"], row["note"], row["dtype"]), {})
        side[row["rival"].startswith("ours")] = row["speedup"]
    return markdown(("layer", "form", "type", "ours", "dense"),
                    ([*case, f"{sides[True]:.2f}", f"{sides[False]:.2f}"] for case, sides in found.items()))


def attention(rows: list[dict]) -> str:
    """Operators and rivals; per grid our time and how many times faster it is."""
    rows = [row for row in rows if row["op"] == "sparse_attention"]
    shapes = list(dict.fromkeys(row["shape"] for row in rows))
    found = {(row["note"], row["rival"], row["shape"]): [f"{row['ours_ms']:.1f}", f"{row['speedup']:.2f}"]
             for row in rows}
    head = [name for shape in shapes for name in (f"{shape}: ours ms", "times faster")]
    cases = dict.fromkeys((row["note"], row["rival"]) for row in rows)
    return markdown(["operator", "rival", *head],
                    ([*case, *(cell for shape in shapes for cell in found[(*case, shape)])] for case in cases))


def deformable(rows: list[dict]) -> str:
    """Deformable attention per shape."""
    return markdown(("shape", "ours ms", "rival ms", "times faster"),
                    ([row["shape"], f"{row['ours_ms']:.2f}", f"{row['rival_ms']:.2f}", f"{row['speedup']:.2f}"]
                     for row in rows if row["op"] == "deformable_attention"))


def sst(rows: list[dict]) -> str:
    """What sparse attention is for in SST; memory is that above the inputs."""
    def mib(value: float | None) -> str:
        return "-" if value is None else f"{value:.1f}"

    return markdown(("ours", "shape", "rival", "ours ms", "rival ms", "times faster", "ours MiB", "rival MiB"),
                    ([row["note"], row["shape"], row["rival"], f"{row['ours_ms']:.2f}", f"{row['rival_ms']:.2f}",
                      f"{row['speedup']:.2f}", mib(row["ours_mib"]), mib(row["rival_mib"])] for row in rows))


TABLES = {table.__name__: table for table in (layers, forms, scaling, attention, deformable, sst)}


def circumstances(record: dict) -> str:
    """Where, when and how the rows were measured."""
    remark = f"; {record['remark']}" if "remark" in record else ""
    said = f"{record['processor']}, {record['isa']}, torch {record['torch']}, {record['date']}{remark}:"
    return f"{textwrap.fill(said, 120)}\n\n```\n{record['command']}\n```\n"


def filled(page: str, folder: Path) -> str:
    """The page with all its tables made anew from the files of ``folder``.

    Raises:
        DataError: there is no such kind of table, or a file cannot be read or lacks what its table needs.
    """
    def table(match: re.Match) -> str:
        begin, kind, name, end = match.groups()
        if kind not in TABLES:
            raise DataError(f"table {kind} {name}: no such table; known: {', '.join(TABLES)}")
        record = read_json(folder / name)
        try:
            return f"{begin}\n{circumstances(record)}\n{TABLES[kind](record['rows'])}\n{end}"
        except (KeyError, TypeError) as error:
            raise DataError(f"{name}: {error} is missing for the table {kind}: see tools/benchmark_ops.py") from error

    return MARKED.sub(table, page)


@command
def main(argv: list[str] | None = None) -> int:
    """Write the page."""
    argparse.ArgumentParser(description=__doc__).parse_args(argv)
    write_text(PAGE, filled(PAGE.read_text(encoding="utf-8"), PAGE.parent / "assets"))
    print(f"written: {PAGE}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
