"""Residual blocks of decoders."""

import torch.nn.functional as F
from torch import Tensor, nn

from .build import build_norm, conv_norm_relu


class PreActBlock(nn.Module):
    """x + conv2(relu(conv1(relu(x)))), with a 3x3 convolution on the shortcut where the channels change.

    STM (Oh et al., 2019) and its descendants use it without norm; a norm after each convolution is an option.

    Args:
        in_channels, out_channels: of the block.
        norm: config of a norm, see :func:`build_norm`.
    """

    def __init__(self, in_channels: int, out_channels: int, norm: dict | None = None):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm1 = build_norm(norm, out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.norm2 = build_norm(norm, out_channels)
        self.downsample = None
        if in_channels != out_channels:
            self.downsample = nn.Conv2d(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, H, W)."""
        out = conv_norm_relu(self.conv1, self.norm1, F.relu(x))
        shortcut = x if self.downsample is None else self.downsample(x)
        return conv_norm_relu(self.conv2, self.norm2, out, relu=False, shortcut=shortcut)


class ProjectedBlock(nn.Module):
    """relu(y + conv(relu(norm(conv(y))))) with y = 1x1(x): the residual block of FRTM's segmentation network.

    Args:
        channels: of input and output.
        norm: see :func:`~.build.build_norm`.
    """

    def __init__(self, channels: int, norm: dict | None):
        super().__init__()
        self.proj = nn.Conv2d(channels, channels, 1)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = build_norm(norm, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.no_norm = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(R, C, h, w) -> the same."""
        x = self.proj(x)
        return conv_norm_relu(self.conv2, self.no_norm, conv_norm_relu(self.conv1, self.norm, x), shortcut=x)
