"""Convert a published checkpoint to vosplug's names."""

import _path  # noqa: F401  (lets the scripts run from a clone that is not installed)

from vosplug.cli.convert_checkpoint import main

if __name__ == "__main__":
    raise SystemExit(main())
