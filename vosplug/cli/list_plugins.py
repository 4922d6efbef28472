"""List the parts that configs can name, by kind."""

import argparse
import inspect
import json
from typing import Any

from ..registry import KINDS, REGISTRIES, load_entry_point_plugins, load_plugin
from ..utils.errors import InputError, did_you_mean
from .common import command, new_parser


def list_parts(kind: str | None = None) -> dict[str, list[dict[str, str]]]:
    """Registered parts by kind, each with ``name``, ``module`` and ``summary`` (first line of its docstring).

    Args:
        kind: a kind of network part (``backbone``) or another registry (``dataset``); None for all.

    Raises:
        InputError: there is no such kind.
    """
    known = {name: kind.members for name, kind in KINDS.items()}
    known.update({name: lambda registry=registry: _own_members(registry) for name, registry in REGISTRIES.items()})
    if kind is None:
        wanted = list(known)
    else:
        wanted = [_canonical(kind, known)]
    return {name: [_describe(key, part) for key, part in sorted(known[name]().items())] for name in wanted}


def _own_members(registry: Any) -> dict[str, Any]:
    """Parts of ``registry`` itself: those of mmengine, which it inherits, are documented there."""
    registry.import_from_location()
    return dict(registry.module_dict)


def _canonical(kind: str, known: Any) -> str:
    """Name of a kind for what a person may type: ``matching-heads``, ``MATCHING_HEADS``, ``matching head``."""
    text = kind.lower().replace("-", " ").replace("_", " ").strip()
    for name in (text, text.removesuffix("s"), text.removesuffix("es"), text.removesuffix("ies") + "y"):
        if name in known:
            return name
    raise InputError(f"unknown kind {kind!r}.{did_you_mean(text, known)} Known: {', '.join(known)}.")


def _describe(name: str, part: Any) -> dict[str, str]:
    lines = (inspect.getdoc(part) or "").strip().splitlines() if "__doc__" in vars(part) else []
    return {"name": name, "module": part.__module__, "summary": lines[0] if lines else ""}


def build_parser() -> argparse.ArgumentParser:
    """Parser of the command."""
    parser = new_parser(__doc__)
    parser.add_argument("kind", nargs="?", help="list this kind only, e.g. backbone or dataset (default: all)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--plugin", action="append", default=[], metavar="FILE.py|MODULE", dest="plugins",
                        help="import a plugin first (may be given several times)")
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Print the parts."""
    args = build_parser().parse_args(argv)
    load_entry_point_plugins()
    for plugin in args.plugins:
        load_plugin(plugin)
    parts = list_parts(args.kind)
    if args.json:
        print(json.dumps(parts, indent=2))
    else:
        _print_table(parts)
    return 0


def _print_table(parts: dict[str, list[dict[str, str]]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        console = Console(width=200)  # a line each, for those who search the output
    for kind, rows in parts.items():
        table = Table(title=f"{kind} ({len(rows)})", title_justify="left", box=None, pad_edge=False)
        for column in ("name", "module", "what it is"):
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*map(Text, row.values()))
        console.print(table if rows else f"{kind} (0)", end="\n\n")
