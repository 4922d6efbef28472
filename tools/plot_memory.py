"""Records the resident memory over a long synthetic video."""

import _path  # noqa: F401  (lets the scripts run from a clone that is not installed)

from vosplug.cli.plot_memory import main

if __name__ == "__main__":
    raise SystemExit(main())
