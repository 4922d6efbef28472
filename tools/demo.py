"""Segments a video, starting from a mask of its first frame."""

import _path  # noqa: F401  (lets the scripts run from a clone that is not installed)

from vosplug.cli.demo import main

if __name__ == "__main__":
    raise SystemExit(main())
