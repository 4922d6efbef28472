"""Positions of cells as features."""

import math

import torch
from torch import Tensor, nn

from ...registry import LAYERS


@LAYERS.register_module(role="positions", examples=[dict()])
class SinePositions(nn.Module):
    """Sines and cosines of both coordinates (Carion et al., 2020), y first, each axis scaled to 0 .. 2 pi.

    Args:
        channels: of the output, half of them per axis; a multiple of 4.
        temperature: ratio of the longest to the shortest wave length.
    """

    def __init__(self, channels: int, temperature: float = 10_000.0):
        super().__init__()
        self.channels = channels
        self.temperature = temperature

    def forward(self, size: tuple[int, int], like: Tensor) -> Tensor:
        """Positions (h*w, channels) of a map of ``size``, of the type and on the device of ``like``."""
        axes = []
        with torch.autocast(like.device.type, enabled=False):
            kind = torch.float64 if like.dtype == torch.float64 else torch.float32
            half = self.channels // 2
            index = torch.arange(half, device=like.device, dtype=kind)
            wave = self.temperature ** (2 * torch.div(index, 2, rounding_mode="floor") / half)
            for length in size:
                place = torch.arange(length, device=like.device, dtype=kind) / (length - 1 + 1e-6) * (2 * math.pi)
                angle = place[:, None] / wave
                axes.append(torch.stack([angle[:, 0::2].sin(), angle[:, 1::2].cos()], dim=2).flatten(1))
            y, x = axes
            both = torch.cat([y[:, None].expand(-1, size[1], -1), x[None].expand(size[0], -1, -1)], dim=2)
        return both.flatten(0, 1).to(like.dtype)
