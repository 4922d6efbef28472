"""Segments the videos of a data set and scores them."""

import _path  # noqa: F401  (lets the scripts run from a clone that is not installed)

from vosplug.cli.test import main

if __name__ == "__main__":
    raise SystemExit(main())
