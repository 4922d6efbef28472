"""Check a data tree and name every fault."""

import _path  # noqa: F401  (lets the scripts run from a clone that is not installed)

from vosplug.cli.check_data import main

if __name__ == "__main__":
    raise SystemExit(main())
