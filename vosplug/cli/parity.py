"""Recompute golden outputs of official implementations and compare every tensor."""

import argparse
import sys

import torch
from rich.console import Console
from rich.table import Table

from ..parity import Manifest, Row, compare
from ..registry import PARITY_RUNS
from ..utils.errors import InputError, VosplugError
from .common import check_targets, command, error_line, new_parser, write_numbers


def build_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = new_parser(__doc__)
    parser.add_argument("manifests", nargs="+", metavar="MANIFEST.json")
    parser.add_argument("--tol", type=float, help="bound instead of the manifest's, absolute or relative to the peak")
    parser.add_argument("--dtype", choices=("float64", "float32"), default="float64",
                        help="floating type of the run (float32 is for information: top-k choices flip)")
    parser.add_argument("--json", metavar="F", help="write the comparison as JSON")
    return parser


def check(manifest: Manifest, tol: float | None, dtype: torch.dtype) -> list[Row]:
    """Rows of one manifest, one for each stored or promised tensor."""
    if manifest.family not in PARITY_RUNS.names():
        raise InputError(f"{manifest.path}: no parity run for {manifest.spec['source']['repository']!r}; "
                         f"known: {', '.join(sorted(PARITY_RUNS.names()))}")
    tolerance = manifest.tolerance
    if tol is not None:
        tolerance = {**tolerance, "max_abs": tol, "max_rel_to_peak": tol}
    ours = PARITY_RUNS.get(manifest.family)(manifest, dtype).run()
    rows = []
    for name in sorted({*manifest.expected, *manifest.spec["outputs"], *ours},
                       key=list({**manifest.spec["outputs"], **manifest.expected, **ours}).index):
        if name not in manifest.expected:
            fault = "in the manifest but not stored" if name in manifest.spec["outputs"] else "nothing to compare with"
            rows.append(Row(name, None, float("nan"), float("nan"), fault))
        else:
            rows.append(compare(name, ours.get(name), manifest.expected[name], tolerance))
    return rows


def table_of(name: str, rows: list[Row]) -> Table:
    """Table for people."""
    table = Table("tensor", "shape", "max abs", "rel. to peak", "result", title=name, title_justify="left")
    for row in rows:
        shape = "x".join(map(str, row.shape)) if row.shape is not None else "-"
        result = f"[red]FAIL: {row.fault}" if row.fault else "[green]ok"
        table.add_row(row.name, shape, f"{row.max_abs:.2e}", f"{row.relative:.2e}", result)
    return table


@command
def main(argv: list[str] | None = None) -> int:
    """Compare all manifests; exit status 1 if a tensor fails, 2 if a manifest cannot be run."""
    args = build_parser().parse_args(argv)
    check_targets(args.json)
    console = Console()
    failed = broken = 0
    report = {}
    for path in args.manifests:
        try:
            rows = check(Manifest.read(path), args.tol, getattr(torch, args.dtype))
        except VosplugError as error:
            broken += 1
            report[str(path)] = {"error": str(error)}
            print(error_line(error), file=sys.stderr)
            continue
        failed += sum(bool(row.fault) for row in rows)
        report[str(path)] = {row.name: {"max_abs": finite(row.max_abs), "rel_to_peak": finite(row.relative),
                                        "fault": row.fault} for row in rows}
        console.print(table_of(str(path), rows))
    write_numbers(args.json, report)
    total = sum(len(rows) for rows in report.values() if "error" not in rows)
    console.print(f"{total - failed} of {total} tensors agree in {len(args.manifests) - broken} of "
                  f"{len(args.manifests)} manifests")
    return 2 if broken else int(failed > 0)


def finite(value: float) -> float | None:
    """JSON has no NaN."""
    return value if value == value else None
