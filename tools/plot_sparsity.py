"""Segments a video and shows what sparse convolutions computed: per layer, over the frame, and per module."""

import _path  # noqa: F401  (lets the scripts run from a clone that is not installed)

from vosplug.cli.plot_sparsity import main

if __name__ == "__main__":
    raise SystemExit(main())
