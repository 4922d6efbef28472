"""Compares the YouTube-VIS measures with the same in plain loops."""
import _path  # noqa: F401  (lets the scripts run from a clone that is not installed)

from vosplug.cli.compare_vis_metric import main

if __name__ == "__main__":
    raise SystemExit(main())
