"""Choosing and joining levels of a pyramid."""

from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from ...registry import LAYERS
from ...structures import Level
from ...utils.errors import ConfigError


@LAYERS.register_module(role="fusion", examples=[dict(channels=16), dict(channels=5, levels=("c2", "c4"))])
class TopDownFusion(nn.Module):
    """relu(1x1(fine) + upsampled 1x1(coarse)): one map at the finer of two levels.

    Args:
        in_levels: name -> level of the pyramid.
        channels: of the output.
        levels: names of the finer and the coarser level that are joined.

    Attributes:
        out_channels, stride: of the output.
    """

    def __init__(self, in_levels: Mapping[str, Level], channels: int = 96, levels: Sequence[str] = ("c3", "c4")):
        super().__init__()
        if len(levels) != 2 or not set(levels) <= set(in_levels):
            raise ConfigError(f"TopDownFusion.levels must be two of {', '.join(in_levels)}, the levels of the "
                              f"backbone, got {tuple(levels)}")
        self.fine, self.coarse = levels
        self.stride = in_levels[self.fine].stride
        self.out_channels = channels
        self.fine_proj = nn.Conv2d(in_levels[self.fine].channels, channels, 1)
        self.coarse_proj = nn.Conv2d(in_levels[self.coarse].channels, channels, 1)

    def forward(self, pyramid: Mapping[str, Tensor]) -> Tensor:
        """Pyramid {level: (N, C, h, w)} -> (N, channels, H/stride, W/stride)."""
        fine = self.fine_proj(pyramid[self.fine])
        coarse = F.interpolate(self.coarse_proj(pyramid[self.coarse]), size=fine.shape[-2:], mode="bilinear",
                               align_corners=False)
        return F.relu(fine + coarse)


@LAYERS.register_module(role="fusion", examples=[dict()])
class LastStage(nn.Module):
    """The last level of a pyramid as it is.

    Args:
        in_levels: name -> level of the pyramid.

    Attributes:
        out_channels, stride: of the output.
    """

    def __init__(self, in_levels: Mapping[str, Level]):
        super().__init__()
        self.level = list(in_levels)[-1]
        self.stride, self.out_channels = in_levels[self.level].stride, in_levels[self.level].channels

    def forward(self, pyramid: Mapping[str, Tensor]) -> Tensor:
        """Pyramid {level: (N, C, h, w)} -> its last level."""
        return pyramid[self.level]
