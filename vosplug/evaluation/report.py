"""Result tables for people (rich) and for other programs (CSV)."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..utils.files import write_text
from ..utils.notices import warn

if TYPE_CHECKING:
    from rich.console import Console

Row = tuple[str, Sequence[float | str | None]]


def print_table(console: "Console", title: str, head: Sequence[str], rows: Iterable[Row], *totals: Row | None) -> None:
    """Print a table with one row per sequence and the totals below a line.

    Args:
        console: where to print.
        title: of the table.
        head: names of the columns, the first one that of the row names.
        rows, totals: name and values; numbers are printed with three decimals, None as a dash.
    """
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for index, name in enumerate(head):
        table.add_column(name, justify="right" if index else "left", no_wrap=True)
    for name, values in rows:
        table.add_row(name, *map(_cell, values))
    for place, (name, values) in enumerate(total for total in totals if total is not None):
        if not place:
            table.add_section()
        table.add_row(name, *map(_cell, values), style="" if place else "bold")
    if not console.is_terminal:
        # A file or a pipe has no width of its own: nothing may be cut.
        needed = console.measure(table, options=console.options.update(max_width=10_000)).maximum
        console.width = max(console.width, needed)
    console.print(table)


def davis_rows(results: Mapping[str, dict], keys: Sequence[str]) -> list[Row]:
    """Per sequence the means over its objects, under the names of the DAVIS table."""
    from .functional.davis import global_scores

    rows = []
    for name in sorted(results):
        scores = global_scores({name: results[name]})
        if scores:
            rows.append((name, [scores[key] for key in keys]))
    return rows


def print_davis(console: "Console", title: str, results: Mapping[str, dict], total: str) -> None:
    """Print the table of DAVIS; where ids are left out in a first reference, also the row of the existing objects."""
    from .functional.davis import KEYS, existing_scores, global_scores, word_about_absent

    scores, existing = global_scores(results), existing_scores(results)
    rows = [(total, [scores[key] for key in KEYS])] if scores else []
    rows += [("existing objects", [existing[key] for key in KEYS])] if existing else []
    print_table(console, title, ("sequence", *KEYS), davis_rows(results, KEYS), *rows)
    word = word_about_absent(results)
    if word:
        warn(word)


def youtube_vos_rows(results: Mapping[str, dict], seen: Iterable[str]) -> list[Row]:
    """Per object its category, whether it is seen, J and F."""
    seen = set(seen)
    return [(f"{name} / {number}", [entry["category"], "seen" if entry["category"] in seen else "unseen",
                                    entry["J-Mean"], entry["F-Mean"]])
            for name in sorted(results) for number, entry in results[name]["objects"].items()]


def youtube_vis_rows(scores: Mapping[str, Mapping[str, float]], keys: Sequence[str]) -> list[Row]:
    """Per name the numbers under ``keys``; a number that nothing contributes to (-1) is left open."""
    return [(name, [None if values[key] < 0 else values[key] for key in keys]) for name, values in scores.items()]


def write_csv(path: str | Path, head: Sequence[str], rows: Iterable[Row]) -> None:
    """Write a CSV file atomically; numbers with three decimals, as the official DAVIS tables."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    for name, values in rows:
        writer.writerow([*([name] if name else []), *("" if v is None else _cell(v) for v in values)])
    write_text(path, text.getvalue())


def _cell(value: float | str | None) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else f"{value:.3f}"
