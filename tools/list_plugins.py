"""List the parts that configs can name, by kind."""
import _path  # noqa: F401  (lets the scripts run from a clone that is not installed)

from vosplug.cli.list_plugins import main

if __name__ == "__main__":
    raise SystemExit(main())
