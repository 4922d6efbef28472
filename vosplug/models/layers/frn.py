"""Filter response normalisation (Singh and Krishnan, CVPR 2020)."""

import torch
from torch import Tensor, nn

from ...registry import LAYERS


@LAYERS.register_module(role="token norm", examples=[dict()])
class FilterResponseNorm(nn.Module):
    """max(gamma x / sqrt(mean of x^2 + eps) + beta, tau): each channel by its own strength, and a thresholded unit.

    The mean is over the cells of one frame, so that the features of a frame do not depend on other frames.

    Args:
        channels: of the input.
        eps: added to the mean.
    """

    def __init__(self, channels: int, eps: float = 1e-6):
        super().__init__()
        self.eps = eps
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))
        self.tau = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(..., h, w, C) -> the same."""
        exact = x.to(torch.promote_types(x.dtype, torch.float32))
        strength = exact.square().mean(dim=(-3, -2), keepdim=True)
        normed = exact * torch.rsqrt(strength + self.eps) * self.gamma + self.beta
        return torch.maximum(normed, self.tau.to(normed.dtype)).to(x.dtype)
