"""Makes the scripts of this folder run from a clone that is not installed."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def run(name: str) -> None:
    """Run the command of vosplug that a script is named after, and end the process with its status."""
    from importlib import import_module

    raise SystemExit(import_module(f"vosplug.cli.{name}").main())
