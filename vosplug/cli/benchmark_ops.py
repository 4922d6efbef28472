"""Time the operators against the best alternative that PyTorch offers."""

import argparse
import datetime
import shlex
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from vosplug.ops import benchmark, has_extension, isa

from ..utils.errors import InputError
from ..utils.files import write_json_rows
from .common import command, new_parser, positive_int
from .rivals import load_rival

OPERATORS = ("sparse_conv2d", "sparse_attention", "sst_attention", "deformable_attention")
PIPE_WIDTH = 200
"""Columns of the table where the output is no terminal: else it would be squeezed into 80."""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = new_parser(__doc__)
    parser.add_argument("--op", nargs="+", choices=OPERATORS, default=OPERATORS, help="only these (default: all)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default: cpu")
    parser.add_argument("--threads", type=positive_int, default=1, help="CPU threads (default: 1)")
    parser.add_argument("--seconds", type=float, default=2.0, help="time for each comparison (default: 2)")
    parser.add_argument("--rounds", type=positive_int, default=1,
                        help="measure everything so many times over and keep, of each, the row of the median speed-up: "
                             "for machines that are not quiet (default: 1)")
    parser.add_argument("--quick", action="store_true", help="a few small cases only")
    parser.add_argument("--sweep", action="store_true", help="instead: the sparse convolution at densities from 0 to 1")
    parser.add_argument("--scaling", action="store_true",
                        help="instead: each operator, and its rival, on --threads threads against one")
    parser.add_argument("--json", metavar="FILE", help="write the rows as JSON, with the machine and the date")
    return parser


def cases(options: argparse.Namespace) -> Iterator[benchmark.Case]:
    """The comparisons that the options ask for."""
    if options.sweep:
        yield from load_rival("sparse_conv2d").sweep(options.device)
        return
    for name in options.op:
        yield from load_rival(name).cases(options.device, options.quick)


def circumstances(command_line: list[str]) -> dict[str, str | None]:
    """Where and when rows are measured, for their file."""
    return {"processor": processor(), "isa": isa(), "torch": torch.__version__,
            "date": datetime.date.today().isoformat(),
            "command": shlex.join(["python", "tools/benchmark_ops.py", *command_line])}


def processor(path: str = "/proc/cpuinfo") -> str:
    """Name of the processor with its family and model, as virtual machines often shorten the name."""
    try:
        lines = (line.partition(":") for line in Path(path).read_text().split("\n\n")[0].splitlines())
    except OSError:
        return "unknown"
    known = {name.strip(): value.strip() for name, _, value in lines}
    numbers = "".join(f", {part} {known[key]}" for part, key in (("family", "cpu family"), ("model", "model"))
                      if key in known)
    return known.get("model name", "unknown") + numbers


def _measure(case: benchmark.Case, options: argparse.Namespace) -> list[benchmark.Row]:
    if options.scaling:
        return benchmark.measure_scaling(case, options.threads, options.seconds)
    return [benchmark.measure(case, options.device, options.threads, options.seconds)]


def _table(rows: list[benchmark.Row]) -> Table:
    table = Table(title=f"operators on {isa() or 'PyTorch code (no extension)'}")
    names = ("op", "shape", "dtype", "density", "form", "ours ms", "rival ms", "speed-up", "ours MiB", "rival MiB")
    for name in (*names, "rival"):
        table.add_column(name, justify="right" if "ms" in name or "MiB" in name or name == "speed-up" else "left")
    for r in rows:
        numbers = (f"{r.ours_ms:.3f}", f"{r.rival_ms:.3f}", f"{r.speedup:.2f}")
        memory = ("?" if m is None else f"{m:.1f}" for m in (r.ours_mib, r.rival_mib))
        table.add_row(r.op, r.shape, r.dtype, f"{r.density:g}", r.note, *numbers, *memory, r.rival)
    return table


@command
def main(argv: list[str] | None = None) -> int:
    """Run the comparisons, print a table, write JSON."""
    argv = sys.argv[1:] if argv is None else argv
    options = build_parser().parse_args(argv)
    if options.device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: this torch sees no CUDA device")
    if options.sweep and (options.quick or tuple(options.op) not in (OPERATORS, ("sparse_conv2d",))):
        raise InputError("--sweep: is of the whole sparse convolution: leave --quick and other --op away")
    if options.scaling and (options.threads < 2 or options.device != "cpu"):
        raise InputError("--scaling: compares CPU threads with one: give --threads 2 or more, and no other --device")
    torch.set_num_threads(options.threads)
    benchmark.keep_freed_memory()
    has_extension()
    console, found = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH), defaultdict(list)
    rows, about = [], circumstances(argv)
    with torch.no_grad():
        for turn in range(options.rounds):
            for number, case in enumerate(track(cases(options), description=f"round {turn + 1}", console=console)):
                found[number].append(_measure(case, options))
                rows = [row for rounds in found.values() for row in benchmark.median_rows(rounds)]
                if options.json:
                    write_json_rows(options.json, about, [row.as_dict() for row in rows])
    console.print(_table(rows))
    return 0
