"""Convolutional block attention (Woo et al., ECCV 2018)."""

import torch
from torch import Tensor, nn


class ChannelAttention(nn.Module):
    """Scale channels by a shared two-layer network on their spatial mean and maximum.

    Args:
        channels: of the input.
        reduction: factor by which the hidden layer is narrower.
    """

    def __init__(self, channels: int, reduction: int = 16):
        super().__init__()
        hidden = max(1, channels // reduction)
        self.mlp = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same, scaled."""
        scale = self.mlp(x.mean(dim=(2, 3))) + self.mlp(x.amax(dim=(2, 3)))
        return x * scale.sigmoid()[:, :, None, None]


class SpatialAttention(nn.Module):
    """Scale positions by a convolution over the channel-wise maximum and mean."""

    def __init__(self, kernel_size: int = 7):
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same, scaled."""
        pooled = torch.cat([x.amax(dim=1, keepdim=True), x.mean(dim=1, keepdim=True)], dim=1)
        return x * self.conv(pooled).sigmoid()


class CBAM(nn.Module):
    """Channel attention, then spatial attention.

    Args:
        channels: of the input.
        reduction: see :class:`ChannelAttention`.
    """

    def __init__(self, channels: int, reduction: int = 16):
        super().__init__()
        self.channel = ChannelAttention(channels, reduction)
        self.spatial = SpatialAttention()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same, attended."""
        return self.spatial(self.channel(x))
