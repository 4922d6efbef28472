"""A gate that throws dice."""

import numpy as np
import torch
from torch import Tensor

from ...registry import GATES
from ...utils.errors import ConfigError
from ...utils.seeds import generator_of
from .base import Gate, GateInput


@GATES.register_module(examples=[dict(), dict(rate=1.0)])
class RandomGate(Gate):
    """Reuse with a fixed probability. The draw depends on seed, frame and object alone, not on what ran before.

    Args:
        rate: share of reused frames.
        seed: of the draws.
    """

    def __init__(self, rate: float = 0.5, seed: int = 0):
        super().__init__()
        if not 0 <= rate <= 1:
            raise ConfigError(f"RandomGate.rate must lie in 0..1, got {rate}")
        self.rate, self.seed = rate, seed

    def forward(self, inputs: GateInput) -> Tensor:
        """See :class:`~.base.Gate`."""
        draws = [generator_of(self.seed, inputs.frame, *key).random() for key in inputs.rows.keys]
        return inputs.features.new_tensor(np.less(draws, self.rate).astype(float), dtype=torch.float64)
