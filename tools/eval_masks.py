"""Scores folders of predicted masks against reference masks."""
import _path  # noqa: F401  (lets the scripts run from a clone that is not installed)

from vosplug.cli.eval_masks import main

if __name__ == "__main__":
    raise SystemExit(main())
