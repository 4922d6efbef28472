"""Make a synthetic data set in the DAVIS, YouTube-VOS and YouTube-VIS layouts."""

import _path  # noqa: F401  (lets the scripts run from a clone that is not installed)

from vosplug.cli.make_synthetic import main

if __name__ == "__main__":
    raise SystemExit(main())
