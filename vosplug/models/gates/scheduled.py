"""A gate that follows a plan."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ...registry import GATES
from ...utils.errors import ConfigError, InputError
from .base import Gate, GateInput


@GATES.register_module(examples=[
    dict(every=2), dict(rate=0.5), dict(table={1: (0.0, 0.2, 0.9, 0.4), 2: (1.0, 1.0, 0.0, 0.0)})])
class ScheduledGate(Gate):
    """Full frames at a fixed distance, at a fixed rate, or by a table; exactly one of the three.

    Args:
        every: frames whose index is a multiple of this are full.
        rate: share of reused frames, spread evenly.
        table: object id -> probability of reuse at each frame of the video (0 or 1, or IoUs with reference masks: the
            oracle). A video must not be longer.
    """

    def __init__(self, every: int | None = None, rate: float | None = None,
                 table: Mapping[int, Sequence[float]] | None = None):
        super().__init__()
        if sum(option is not None for option in (every, rate, table)) != 1:
            raise ConfigError("ScheduledGate needs exactly one of every, rate and table")
        if every is not None and every < 1:
            raise ConfigError(f"ScheduledGate.every must be at least 1, got {every}")
        if rate is not None and not 0 <= rate <= 1:
            raise ConfigError(f"ScheduledGate.rate must lie in 0..1, got {rate}")
        self.every, self.rate, self.table = every, rate, table

    def forward(self, inputs: GateInput) -> Tensor:
        """See :class:`~.base.Gate`."""
        values = [self.value(name, inputs.frame) for _, name in inputs.rows.keys]
        return inputs.features.new_tensor(values, dtype=torch.float64)

    def value(self, name: object, frame: int) -> float:
        """Probability of reuse of the row called ``name`` at a frame."""
        if self.every is not None:
            return float(frame % self.every != 0)
        if self.rate is not None:  # as many reused frames up to here as the rate allows
            return float(math.floor(frame * self.rate + 1e-9) > math.floor((frame - 1) * self.rate + 1e-9))
        values = self.table.get(name)
        if values is None or frame >= len(values):
            known = "no entry" if values is None else f"only {len(values)} entries"
            raise InputError(f"the table of ScheduledGate has {known} for object {name}, but frame {frame} is asked "
                             "for: a table needs one entry per frame of the video for each of its objects")
        return float(values[frame])
