"""Compares the processor time (user and system) of whole commands, run in turn; the first one is the base."""

import argparse
import os
import resource
import shlex
import statistics
import subprocess
import time
from pathlib import Path

import _path  # noqa: F401  (lets the scripts run from a clone that is not installed)

from vosplug.cli.common import command, positive_int
from vosplug.utils.errors import InputError
from vosplug.utils.files import write_json


def build_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commands", nargs="+", metavar="NAME=COMMAND", help="one argument per command, quoted")
    parser.add_argument("--repeat", type=positive_int, default=5, help="runs of each command (default 5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the seconds of all runs")
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Run the commands in turn and print the medians."""
    options = build_parser().parse_args(argv)
    commands = dict(_split(text) for text in options.commands)
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(options.repeat):  # in turn, so that other load on the machine meets all alike
        for name, arguments in commands.items():
            runs[name].append(measure(name, arguments))
    _print(runs)
    if options.json:
        write_json(options.json, {name: {"cpu_s": [cpu for cpu, _ in values], "wall_s": [wall for _, wall in values]}
                                  for name, values in runs.items()})
    return 0


def measure(name: str, arguments: list[str]) -> tuple[float, float]:
    """Processor and wall seconds of one run, child processes included.

    Raises:
        InputError: the command cannot be started or fails.
    """
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    try:
        done = subprocess.run(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False,
                              env=os.environ.copy())
    except OSError as error:
        raise InputError(f"{name}: {arguments[0]} cannot be started ({error.strerror})") from error
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise InputError(f"{name}: ended with status {done.returncode}: {last[0]}")
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, wall


def _split(text: str) -> tuple[str, list[str]]:
    name, equals, rest = text.partition("=")
    if not equals or not name or not rest.strip():
        raise InputError(f"expected NAME=COMMAND, got {text!r}")
    return name, shlex.split(rest)


def _print(runs: dict[str, list[tuple[float, float]]]) -> None:
    from rich.console import Console

    from vosplug.evaluation.report import print_table

    medians = {name: statistics.median(cpu for cpu, _ in values) for name, values in runs.items()}
    base = next(iter(medians.values()))
    rows = [(name, [medians[name], min(cpu for cpu, _ in values), max(cpu for cpu, _ in values),
                    statistics.median(wall for _, wall in values), medians[name] / base if base else None])
            for name, values in runs.items()]
    head = ("command", "CPU s", "least", "most", "wall s", "CPU / first")
    print_table(Console(), "processor time, medians", head, rows, None)


if __name__ == "__main__":
    raise SystemExit(main())
