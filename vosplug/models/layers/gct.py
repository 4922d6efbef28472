"""Gated channel transformation (Yang et al., CVPR 2020)."""

import torch
from torch import Tensor, nn


class GCT(nn.Module):
    """Scale channels by how strong they are beside each other: x (1 + tanh(e gamma / sqrt(mean e^2 + eps) + beta)).

    e = alpha sqrt(sum of squares over the map + eps). With gamma and beta zero, as at the start, nothing changes.

    Args:
        channels: of the input.
        eps: added under both roots.
    """

    def __init__(self, channels: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.alpha = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same, scaled; the sums are taken in full precision."""
        exact = torch.promote_types(x.dtype, torch.float32)
        norm = torch.linalg.vector_norm(x, dim=(2, 3), keepdim=True, dtype=exact)
        strength = (norm.square() + self.eps).sqrt() * self.alpha
        relative = strength * (strength.square().mean(dim=1, keepdim=True) + self.eps).rsqrt()
        return x * (1 + torch.tanh(relative * self.gamma + self.beta)).to(x.dtype)
