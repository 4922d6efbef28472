"""Joining features of two strides."""

import torch.nn.functional as F
from torch import Tensor, nn

from ...registry import LAYERS
from ...utils.errors import ConfigError


@LAYERS.register_module()
class TopDownFusion(nn.Module):
    """relu(1x1(fine) + upsampled 1x1(coarse)): one map at the finer of two strides.

    Args:
        in_channels: stride -> channels of the pyramid.
        channels: of the output.
        strides: the finer and the coarser level that are joined.

    Attributes:
        out_channels, stride: of the output.
    """

    def __init__(self, in_channels: dict[int, int], channels: int = 96, strides: tuple[int, int] = (8, 16)):
        super().__init__()
        if not set(strides) <= set(in_channels):
            raise ConfigError(f"TopDownFusion.strides must be two of {sorted(in_channels)}, the strides of the "
                              f"backbone, got {tuple(strides)}")
        self.stride, self.coarse = strides
        self.out_channels = channels
        self.fine_proj = nn.Conv2d(in_channels[self.stride], channels, 1)
        self.coarse_proj = nn.Conv2d(in_channels[self.coarse], channels, 1)

    def forward(self, pyramid: dict[int, Tensor]) -> Tensor:
        """Pyramid {stride: (N, C, H/stride, W/stride)} -> (N, channels, H/fine, W/fine)."""
        fine = self.fine_proj(pyramid[self.stride])
        coarse = F.interpolate(self.coarse_proj(pyramid[self.coarse]), size=fine.shape[-2:], mode="bilinear",
                               align_corners=False)
        return F.relu(fine + coarse)


@LAYERS.register_module()
class LastStage(nn.Module):
    """The coarsest level of a pyramid as it is.

    Args:
        in_channels: stride -> channels of the pyramid.

    Attributes:
        out_channels, stride: of the output.
    """

    def __init__(self, in_channels: dict[int, int]):
        super().__init__()
        self.stride = max(in_channels)
        self.out_channels = in_channels[self.stride]

    def forward(self, pyramid: dict[int, Tensor]) -> Tensor:
        """Pyramid {stride: (N, C, H/stride, W/stride)} -> its coarsest level."""
        return pyramid[self.stride]
