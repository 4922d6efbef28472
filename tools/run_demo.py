"""The whole tour in one command: synthetic data, a short training, scores beside two baselines, an overlay video."""

import _path  # noqa: F401  (lets the scripts run from a clone that is not installed)

from vosplug.cli.run_demo import main

if __name__ == "__main__":
    raise SystemExit(main())
