"""Time the operators against the best alternative that PyTorch offers."""

import _path  # noqa: F401  (lets the scripts run from a clone that is not installed)

from vosplug.cli.benchmark_ops import main

if __name__ == "__main__":
    raise SystemExit(main())
