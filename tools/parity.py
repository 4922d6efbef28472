"""Recompute golden outputs of official implementations and compare every tensor."""

import _path  # noqa: F401  (lets the scripts run from a clone that is not installed)

from vosplug.cli.parity import main

if __name__ == "__main__":
    raise SystemExit(main())
