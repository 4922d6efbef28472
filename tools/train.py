"""Train a model from a config."""
import _path  # noqa: F401  (lets the scripts run from a clone that is not installed)

from vosplug.cli.train import main

if __name__ == "__main__":
    raise SystemExit(main())
