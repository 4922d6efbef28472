"""Blocks of CFBI's decoder: convolutions behind a gated channel transformation."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..layers.build import build_norm, conv_norm_relu
from ..layers.conv_norm import ConvNorm
from ..layers.gct import GCT


def plain_conv(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """Convolution without bias, with He initialisation."""
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride=stride, padding=dilation * (kernel_size // 2),
                     dilation=dilation, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv


class GatedBottleneck(nn.Module):
    """GCT, 1x1, 3x3 (which carries stride and dilation), 1x1; four times narrower inside.

    Args:
        in_channels, out_channels: of the block; the latter a multiple of 4.
        norm: config of the norms.
        stride, dilation: of the 3x3 convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, norm: dict, stride: int = 1, dilation: int = 1):
        super().__init__()
        width = out_channels // 4
        self.gate = GCT(in_channels)
        self.conv1, self.norm1 = plain_conv(in_channels, width, 1), build_norm(norm, width)
        self.conv2, self.norm2 = plain_conv(width, width, 3, stride, dilation), build_norm(norm, width)
        self.conv3, self.norm3 = plain_conv(width, out_channels, 1), build_norm(norm, out_channels)
        self.downsample = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(plain_conv(in_channels, out_channels, 1, stride),
                                            build_norm(norm, out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """(R, C, h, w) -> (R, C', h/stride, w/stride), sizes rounded up."""
        out = conv_norm_relu(self.conv1, self.norm1, self.gate(x))
        out = conv_norm_relu(self.conv2, self.norm2, out)
        shortcut = x if self.downsample is None else conv_norm_relu(*self.downsample, x, relu=False)
        return conv_norm_relu(self.conv3, self.norm3, out, shortcut=shortcut)


class GatedConv(nn.Module):
    """GCT, then convolution, norm and ReLU.

    Args:
        in_channels, out_channels, kernel_size, norm, dilation: see :class:`~..layers.conv_norm.ConvNorm`.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, norm: dict, dilation: int = 1):
        super().__init__()
        self.gate = GCT(in_channels)
        self.block = ConvNorm(in_channels, out_channels, kernel_size, norm, dilation)

    def forward(self, x: Tensor) -> Tensor:
        """(R, C, h, w) -> (R, C', h, w)."""
        return self.block(self.gate(x))


class GatedASPP(nn.Module):
    """Atrous spatial pyramid pooling with gated branches; the mean has a ReLU but no norm.

    Args:
        in_channels, out_channels: of the input and the output.
        branch_channels: of every branch.
        rates: dilations of the branches; 1 stands for a 1x1 convolution.
        norm: config of the norms.
    """

    def __init__(self, in_channels: int, branch_channels: int, out_channels: int, rates: Sequence[int], norm: dict):
        super().__init__()
        self.branches = nn.ModuleList(GatedConv(in_channels, branch_channels, 1 if rate == 1 else 3, norm, rate)
                                      for rate in rates)
        self.pooled = plain_conv(in_channels, branch_channels, 1)
        self.project = GatedConv((len(rates) + 1) * branch_channels, out_channels, 1, norm)

    def forward(self, x: Tensor) -> Tensor:
        """(R, C, h, w) -> (R, C', h, w)."""
        mean = F.relu(self.pooled(x.mean(dim=(2, 3), keepdim=True))).expand(-1, -1, *x.shape[-2:])
        return self.project(torch.cat([*(branch(x) for branch in self.branches), mean], dim=1))
