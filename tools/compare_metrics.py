"""Compares the processor time of commands that compute the same thing."""
import _path  # noqa: F401  (lets the scripts run from a clone that is not installed)

from vosplug.cli.compare_metrics import main

if __name__ == "__main__":
    raise SystemExit(main())
