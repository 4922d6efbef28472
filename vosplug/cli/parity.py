"""Recompute golden outputs of official implementations and compare every tensor."""

import argparse
import sys
from dataclasses import dataclass, field
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from ..parity import Manifest, Row
from ..registry import PARITY_RUNS
from ..utils.errors import InputError, VosplugError
from .common import check_targets, command, error_line, new_parser, write_numbers

BOUNDS = ("max_abs", "max_rel_to_peak")
USUAL = 1e-4  # a float64 run of the same function is far closer; a manifest that allows more says so


@dataclass
class Comparison:
    """What came out for one manifest.

    Attributes:
        rows: one for each stored or promised tensor.
        dtype: floating type of the run.
        tolerance: absolute and relative bound that was used.
        stated: the manifest's own.
        taken: option of the shipped config that was not used as it stands -> its value there, and the one of the run.
    """

    rows: list[Row]
    dtype: str
    tolerance: dict[str, float]
    stated: dict[str, float]
    taken: dict[str, tuple[Any, Any]] = field(default_factory=dict)

    @property
    def looser(self) -> bool:
        """Whether more was allowed than the manifest allows."""
        return any(self.tolerance[name] > self.stated[name] for name in BOUNDS)

    @property
    def failed(self) -> int:
        """Number of tensors that fail."""
        return sum(bool(row.fault) for row in self.rows)

    def remarks(self) -> list[str]:
        """What has to be known of the result."""
        found = []
        if self.looser:
            found.append(f"looser than the manifest, which allows {bounds(self.stated)}")
        if max(self.stated.values()) > USUAL:
            found.append(f"the manifest itself allows more than {USUAL:g}")
        if self.taken:
            found.append("not as shipped: " + ", ".join(
                f"{name} = {ours!r} (config: {shipped!r})" for name, (shipped, ours) in self.taken.items()))
        return found

    def report(self) -> dict[str, Any]:
        """As JSON knows it."""
        tensors = {row.name: {"max_abs": finite(row.max_abs), "rel_to_peak": finite(row.relative),
                              "fault": row.fault} for row in self.rows}
        taken = {name: {"config": shipped, "run": ours} for name, (shipped, ours) in self.taken.items()}
        return {"dtype": self.dtype, "tolerance": self.tolerance, "manifest_tolerance": self.stated,
                "looser": self.looser, "not_as_shipped": taken, "tensors": tensors}


def build_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = new_parser(__doc__)
    parser.add_argument("manifests", nargs="+", metavar="MANIFEST.json")
    parser.add_argument("--tol", type=float, help="bound instead of the manifest's, absolute or relative to the peak; "
                                                  "a looser one fails the command")
    parser.add_argument("--allow-looser", action="store_true", help="a --tol above the manifest's does not fail")
    parser.add_argument("--dtype", choices=("float64", "float32"), default="float64",
                        help="floating type of the run (float32 is for information: top-k choices flip)")
    parser.add_argument("--json", metavar="F", help="write the comparison as JSON")
    return parser


def check(manifest: Manifest, tol: float | None, dtype: torch.dtype) -> Comparison:
    """Run one manifest and compare."""
    if manifest.family not in PARITY_RUNS.names():
        raise InputError(f"{manifest.path}: no parity run for {manifest.spec['source']['repository']!r}; "
                         f"known: {', '.join(sorted(PARITY_RUNS.names()))}")
    tolerance = manifest.tolerance
    stated = {name: float(tolerance[name]) for name in BOUNDS}
    if tol is not None:
        tolerance = {**tolerance, **dict.fromkeys(BOUNDS, tol)}
    ours = PARITY_RUNS.get(manifest.family)(manifest, dtype).run()
    rows = []
    for name in sorted({*manifest.expected, *manifest.spec["outputs"], *ours},
                       key=list({**manifest.spec["outputs"], **manifest.expected, **ours}).index):
        if name not in manifest.expected:
            fault = "in the manifest but not stored" if name in manifest.spec["outputs"] else "nothing to compare with"
            rows.append(Row(name, None, float("nan"), float("nan"), fault))
        else:
            rows.append(manifest.compare(name, ours.get(name), tolerance))
    return Comparison(rows, str(dtype).removeprefix("torch."), {name: float(tolerance[name]) for name in BOUNDS},
                      stated, dict(manifest.taken))


def bounds(tolerance: dict[str, float]) -> str:
    """A tolerance in words."""
    absolute, relative = (tolerance[name] for name in BOUNDS)
    return f"{absolute:g} absolute or {relative:g} of the peak"


def table_of(name: str, result: Comparison) -> Table:
    """Table for people."""
    table = Table("tensor", "shape", "max abs", "rel. to peak", "result", title_justify="left",
                  title=f"{name} ({result.dtype}; allowed: {bounds(result.tolerance)})")
    for row in result.rows:
        shape = "x".join(map(str, row.shape)) if row.shape is not None else "-"
        outcome = f"[red]FAIL: {row.fault}" if row.fault else "[green]ok"
        table.add_row(row.name, shape, f"{row.max_abs:.2e}", f"{row.relative:.2e}", outcome)
    return table


@command
def main(argv: list[str] | None = None) -> int:
    """Compare all manifests: exit status 1 if a tensor fails or more was allowed, 2 if a manifest cannot be run."""
    args = build_parser().parse_args(argv)
    check_targets(args.json)
    console = Console()
    results: dict[str, Comparison] = {}
    report = {}
    for path in args.manifests:
        try:
            results[path] = check(Manifest.read(path), args.tol, getattr(torch, args.dtype))
        except VosplugError as error:
            report[path] = {"error": str(error)}
            print(error_line(error), file=sys.stderr)
            continue
        report[path] = results[path].report()
        console.print(table_of(path, results[path]))
        for remark in results[path].remarks():
            console.print(f"note: {remark}", markup=False)
    write_numbers(args.json, report)
    failed = sum(result.failed for result in results.values())
    total = sum(len(result.rows) for result in results.values())
    console.print(f"{total - failed} of {total} tensors agree in {len(results)} of {len(report)} manifests")
    loosened = any(result.looser for result in results.values()) and not args.allow_looser
    if loosened:
        print("error: --tol allows more than a manifest does, so agreement means less; say --allow-looser to accept "
              "that", file=sys.stderr)
    return 2 if len(results) < len(report) else int(failed > 0 or loosened)


def finite(value: float) -> float | None:
    """JSON has no NaN."""
    return value if value == value else None
