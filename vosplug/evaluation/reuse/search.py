"""Thresholds for a wanted rate of reuse."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from .run import GateRun
from .setting import GateSetting

STEPS = 8


def tau_of_rate(run: Callable[[GateSetting], GateRun], setting: GateSetting, rate: float,
                tolerance: float = 0.01, steps: int = STEPS) -> GateRun:
    """The run whose rate of reuse is nearest to a wanted one, by bisection of tau: the rate falls with tau.

    Args:
        run: segments the data set.
        setting: everything but tau.
        rate: wanted, 0..1.
        tolerance: difference of the rate that is good enough.
        steps: at most so many runs.
    """
    low, high, best = 0.0, 1.0, None
    for _ in range(steps):
        found = run(replace(setting, tau=(low + high) / 2))
        missed = found.work.reuse.rate() - rate
        if best is None or abs(missed) < abs(best.work.reuse.rate() - rate):
            best = found
        if abs(missed) <= tolerance:
            break
        low, high = (found.setting.tau, high) if missed > 0 else (low, found.setting.tau)
    return best


def change_taus(probabilities: Sequence[float], rates: Sequence[float]) -> list[float]:
    """Thresholds of the change gate: quantiles of its answers on frames that follow a computed one.

    Where a frame is reused the change goes on growing, so that the rates that result are lower.
    """
    return [float(np.quantile(probabilities, 1 - rate)) for rate in rates]
