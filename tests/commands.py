"""The modules of commands, by the names of their scripts in ``tools/``."""

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

TOOLS = str(Path(__file__).resolve().parents[1] / "tools")


def command_module(name: str) -> ModuleType:
    """The module of the package that ``tools/NAME.py`` runs, or the script itself, where it is more than that."""
    if find_spec(f"vosplug.cli.{name}") is not None:
        return import_module(f"vosplug.cli.{name}")
    sys.path.insert(0, TOOLS)
    try:
        return import_module(name)
    finally:
        sys.path.remove(TOOLS)
