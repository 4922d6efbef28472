"""Check a data tree and name every fault."""

import argparse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ..datasets.checks import CHECKS, Job, Result
from ..datasets.checks.base import job_of_faults
from ..datasets.layout import need_folder
from ..datasets.static_layouts import STATIC_LAYOUTS
from ..utils.errors import InputError
from ..utils.notices import collected
from ..utils.progress import progress_bar
from .common import check_targets, command, new_parser, positive_int, write_numbers

OPTIONS = {"davis": ("split", "resolution"), "youtube_vos": ("split",), "youtube_vis": ("split",),
           "static": ("layout",), "folder": ()}


def build_parser() -> argparse.ArgumentParser:
    """Options of ``tools/check_data.py``."""
    parser = new_parser(
        "Read every image, mask and list of a data set; print one line per fault or warning. "
        "Exit status: 0 no fault (there may be warnings), 1 faults were found, 2 the check could not run.")
    parser.add_argument("root", type=Path, help="folder of the data set")
    parser.add_argument("--type", required=True, choices=sorted(CHECKS), help="layout (see docs/data.md)")
    parser.add_argument("--split", help="only this split (davis, youtube_vos, youtube_vis); default: all that exist")
    parser.add_argument("--resolution", help="only this folder below JPEGImages (davis)")
    parser.add_argument("--layout", choices=sorted(STATIC_LAYOUTS), help="layout of a static set (default: found)")
    parser.add_argument("--workers", type=positive_int, default=2, help="threads (default: 2)")
    parser.add_argument("--json", type=Path, help="also write faults and counts to this file")
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Run the check; return 0 if the tree is clean, else 1."""
    args = build_parser().parse_args(argv)
    check_targets(args.json)
    options = {name: getattr(args, name) for name in ("split", "resolution", "layout") if getattr(args, name)}
    for name in options:
        if name not in OPTIONS[args.type]:
            raise InputError(f"--{name} has no meaning for --type {args.type}")
    root = need_folder(args.root, f"a folder in the layout of {args.type}, see docs/data.md")
    with collected() as said:
        jobs = CHECKS[args.type](root, **options)
    jobs.append(job_of_faults("layout", Result(warnings=list(said))))
    total = run_jobs(jobs, args.workers)
    print_summary(total)
    write_numbers(args.json, {"faults": total.faults, "warnings": total.warnings, "counts": dict(total.counts)})
    return 1 if total.faults else 0


def run_jobs(jobs: list[Job], workers: int) -> Result:
    """Run all jobs with a progress bar, print each fault and warning as it is found; return all of them."""
    total = Result()
    out = Console(soft_wrap=True, markup=False, highlight=False, emoji=False)
    console = Console(stderr=True)
    with progress_bar("checking", len(jobs), console=console, transient=True, shown=console.is_terminal) as advance, \
            ThreadPoolExecutor(workers) as pool:
        for result in pool.map(Job.result, jobs):
            for fault in result.faults:
                out.print(" ".join(fault.split()))
            new = [warning for warning in result.warnings if warning not in total.warnings]
            for warning in new:
                out.print(f"warning: {' '.join(warning.split())}")
            total.faults += result.faults
            total.warnings += new
            total.counts.update(result.counts)
            advance()
    return total


def print_summary(total: Result) -> None:
    """Print what was looked at and the number of faults."""
    found = [f"{len(lines)} {what}{'s' if len(lines) > 1 else ''}"
             for what, lines in (("fault", total.faults), ("warning", total.warnings)) if lines]
    table = Table(title="clean" if not found else f"no fault, {found[0]}" if not total.faults else ", ".join(found))
    columns = {**{name: total.counts[name] for name in sorted(total.counts)}, "faults": len(total.faults),
               **({"warnings": len(total.warnings)} if total.warnings else {})}
    for name in columns:
        table.add_column(name, justify="right")
    table.add_row(*map(str, columns.values()))
    Console().print(table)
