"""Parameters, MiB and multiply-accumulates of a model, in total and per module."""

import _path  # noqa: F401  (lets the scripts run from a clone that is not installed)

from vosplug.cli.model_stats import main

if __name__ == "__main__":
    raise SystemExit(main())
