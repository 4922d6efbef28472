"""Stochastic depth."""

import torch
from torch import Tensor, nn

from ...registry import LAYERS
from ...utils.errors import ConfigError
from ..frame_run import is_training


@LAYERS.register_module(role="drop", examples=[dict(rate=0.5)])
class DropPath(nn.Module):
    """Leave out a residual branch for some rows of a batch in training (Huang et al., 2016).

    Args:
        rate: probability of leaving it out; what stays is scaled by 1 / (1 - rate).
    """

    def __init__(self, rate: float = 0.1):
        super().__init__()
        if not 0 <= rate < 1:
            raise ConfigError(f"DropPath.rate must lie in [0, 1), got {rate!r}")
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """(R, ...) -> (R, ...)."""
        if not self.rate or not is_training(self):
            return x
        keep = torch.rand(len(x), *[1] * (x.ndim - 1), device=x.device) >= self.rate
        return x * (keep.to(x.dtype) / (1 - self.rate))
