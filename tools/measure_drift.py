"""Measures how far sparse convolutions with random gates drift from their dense twin."""

import _path  # noqa: F401  (lets the scripts run from a clone that is not installed)

from vosplug.cli.measure_drift import main

if __name__ == "__main__":
    raise SystemExit(main())
