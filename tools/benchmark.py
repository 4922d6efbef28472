"""Measures speed and memory of a model on a video."""

import _path  # noqa: F401  (lets the scripts run from a clone that is not installed)

from vosplug.cli.benchmark import main

if __name__ == "__main__":
    raise SystemExit(main())
