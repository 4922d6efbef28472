"""Plain distillation of logits (Hinton et al., 2015)."""

import torch
from torch import Tensor

from ...registry import LOSSES
from .inter_object import checked_temperature
from .pair import PairLoss


@LOSSES.register_module(role="pair", examples=[dict(), dict(temperature=4.0)])
class KLLogitLoss(PairLoss):
    """Mean over pixels of KL(teacher || student) of their softmax at a temperature, times its square.

    Args:
        temperature: of both; the square keeps the size of gradients.
        weight: of the loss in the sum.
    """

    name, reads = "kl", "logits"

    def __init__(self, temperature: float = 1.0, weight: float = 1.0):
        super().__init__()
        self.temperature, self.weight = checked_temperature(self, temperature), weight

    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        """(B, O + 1, h, w) logits of both -> mean over pixels and clips."""
        ours, theirs = ((x / self.temperature).log_softmax(dim=1) for x in (student, teacher))
        absent = teacher.isneginf()
        difference = theirs.masked_fill(absent, 0.0) - ours.masked_fill(absent, 0.0)
        divergence = torch.where(absent, 0.0, theirs.exp() * difference).sum(dim=1)
        return divergence.mean() * self.temperature**2
