"""A curriculum of clip length, frame distance, batch size and source weights: piecewise constant in the iteration."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..utils.errors import ConfigError, did_you_mean

KEYS = ("max_skip", "length", "batch_size", "weights")


@dataclass(frozen=True)
class Phase:
    """Settings from iteration ``begin`` on. ``weights`` None means shuffled epochs over all clips."""

    begin: int
    max_skip: int
    length: int
    batch_size: int
    weights: tuple[float, ...] | None = None


class Curriculum:
    """Phases of a run, looked up by iteration; counts batch items in closed form.

    Args:
        base: settings before the first phase (its ``begin`` is 0).
        phases: dicts with ``begin`` (a float in [0, 1] is a fraction of ``total_iterations``, an int an iteration)
            and any of ``max_skip``, ``length``, ``batch_size``, ``weights``. What a phase does not name stays as in the
            phase before it; ``weights=None`` returns to shuffled epochs.
        total_iterations: length of the run; needed only if a ``begin`` is a fraction.

    Raises:
        ConfigError: unknown keys, begins out of order, or values out of range.
    """

    def __init__(self, base: Phase, phases: Sequence[Mapping[str, Any]] = (), total_iterations: int | None = None):
        self.phases = [_checked(base)]
        for number, settings in enumerate(phases):
            self._append(number, dict(settings), total_iterations)
        self._begins = [phase.begin for phase in self.phases]
        self._items = [0]
        for phase, following in zip(self.phases, self.phases[1:], strict=False):
            self._items.append(self._items[-1] + (following.begin - phase.begin) * phase.batch_size)

    def _append(self, number: int, settings: dict, total: int | None) -> None:
        where = f"curriculum phase {number}"
        if "begin" not in settings:
            raise ConfigError(f"{where} needs 'begin' (a fraction in [0, 1] or an iteration)")
        fraction = isinstance(settings["begin"], float)
        begin = _iteration(settings.pop("begin"), total, where)
        for key in settings:
            if key not in KEYS:
                raise ConfigError(f"{where} has the unknown key {key!r}.{did_you_mean(key, KEYS)} "
                                  f"Known: begin, {', '.join(KEYS)}.")
        last = self.phases[-1]
        # In a very short run, fractions may fall on one iteration: the last of them holds.
        if begin < last.begin or (begin == last.begin and number > 0 and not fraction):
            raise ConfigError(f"{where} begins at iteration {begin}, not after the one before it ({last.begin})")
        weights = settings.get("weights", last.weights)
        phase = _checked(Phase(begin, *(settings.get(key, getattr(last, key)) for key in KEYS[:3]),
                               weights=None if weights is None else tuple(float(w) for w in weights)), where)
        if begin == last.begin:
            self.phases[-1] = phase
        else:
            self.phases.append(phase)

    def at(self, iteration: int) -> Phase:
        """The phase of ``iteration``."""
        return self.phases[bisect_right(self._begins, iteration) - 1]

    def items_before(self, iteration: int) -> int:
        """Sum of the batch sizes of all iterations before ``iteration``."""
        number = bisect_right(self._begins, iteration) - 1
        phase = self.phases[number]
        return self._items[number] + (iteration - phase.begin) * phase.batch_size


def _iteration(begin: Any, total: int | None, where: str) -> int:
    if isinstance(begin, bool) or not isinstance(begin, (int, float)):
        raise ConfigError(f"{where}: begin must be a fraction or an iteration, got {begin!r}")
    if isinstance(begin, int):
        if begin < 0:
            raise ConfigError(f"{where}: begin must be >= 0, got {begin}")
        return begin
    if not 0 <= begin <= 1:
        raise ConfigError(f"{where}: a begin that is a fraction must lie in [0, 1], got {begin}; "
                          "write iterations as whole numbers")
    if total is None:
        raise ConfigError(f"{where}: begin={begin} is a fraction, which needs total_iterations")
    return round(begin * total)


def _checked(phase: Phase, where: str = "the sampler") -> Phase:
    for key in KEYS[:3]:
        value = getattr(phase, key)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigError(f"{where}: {key} must be a whole number of at least 1, got {value!r}")
    if phase.weights is not None and (min(phase.weights, default=0) < 0 or not sum(phase.weights) > 0):
        raise ConfigError(f"{where}: weights must be >= 0 with a positive sum, got {phase.weights}")
    return phase
