"""A gate that looks at the early features alone."""

import torch
from torch import Tensor

from ...registry import GATES
from ...structures import Rows, RowStore
from ...utils.errors import ConfigError
from .base import Gate, GateInput

KEPT = "change_gate.features"


@GATES.register_module(examples=[dict()])
class ChangeGate(Gate):
    """Reuse where early features have changed little since the last full frame; nothing is learnt.

    The probability is exp(-c / scale), where c is the mean absolute change of the features, relative to their mean
    size.

    Args:
        scale: change at which the probability is 1/e.
    """

    def __init__(self, scale: float = 1.0):
        super().__init__()
        if not scale > 0:
            raise ConfigError(f"ChangeGate.scale must be positive, got {scale}")
        self.scale = scale

    def forward(self, inputs: GateInput) -> Tensor:
        """See :class:`~.base.Gate`."""
        before = inputs.store.read(KEPT, inputs.rows)
        now = inputs.rows.expand(inputs.features)
        change = (now - before).abs().flatten(1).mean(dim=1)
        size = before.abs().flatten(1).mean(dim=1)
        return torch.exp(-change / (size * self.scale).clamp(min=torch.finfo(size.dtype).tiny))

    def remember(self, store: RowStore, rows: Rows, features: Tensor) -> None:
        """Keep the early features of the last full frame."""
        store.write(KEPT, rows, rows.expand(features).detach().clone())
