"""Kullback-Leibler divergence of attention maps."""

import torch
from torch import Tensor

from ...registry import LOSSES
from ...utils.errors import ConfigError
from .pair import PairLoss

OVER = ("keys", "channels", "cells")
LEAST = 1e-12


@LOSSES.register_module(role="pair", examples=[dict(), dict(over="channels"), dict(over="cells")])
class KLAttentionLoss(PairLoss):
    """KL(teacher || student) of attention maps: what CKA is compared with in the paper's Fig. 4.

    Args:
        over: of what the distribution is. ``keys``: of ``weights`` (B, L, N) as they are, mean over the cells; both
            need the same keys. ``channels``: softmax over the channels of each cell, mean over the cells; both need as
            many. ``cells``: softmax over the cells of the mean square of their channels, standardised: where a map
            has its energy; channels may differ.
        temperature: of the softmax; ``keys`` are without one.
        weight: of the loss in the sum.
    """

    name = "att"

    def __init__(self, over: str = "keys", temperature: float = 1.0, weight: float = 1.0):
        super().__init__()
        if over not in OVER:
            raise ConfigError(f"KLAttentionLoss.over must be one of {', '.join(OVER)}, got {over!r}")
        if not temperature > 0:
            raise ConfigError(f"KLAttentionLoss.temperature must be above 0, got {temperature}")
        if over == "keys" and temperature != 1:
            raise ConfigError("KLAttentionLoss.temperature has no effect on over='keys', whose weights are compared as "
                              f"they are: leave it out or take another over, got {temperature}")
        self.over, self.temperature, self.weight = over, temperature, weight
        self.columns = "any" if over == "cells" else over

    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        """(B, L, C), (B, L, C') -> mean over cells and clips."""
        ours, theirs = self.log_probabilities(student), self.log_probabilities(teacher)
        return (theirs.exp() * (theirs - ours)).sum(dim=-1).mean()

    def log_probabilities(self, x: Tensor) -> Tensor:
        """Logarithms of the distributions, over the last axis."""
        if self.over == "keys":
            return x.clamp(min=LEAST).log()
        if self.over == "cells":
            x = x.square().mean(dim=-1)
            x = (x - x.mean(dim=-1, keepdim=True)) / (x.std(dim=-1, keepdim=True) + torch.finfo(x.dtype).eps)
        return (x / self.temperature).log_softmax(dim=-1)
