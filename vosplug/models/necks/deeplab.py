"""DeepLabv3+ behind a backbone, without its classifier."""

import re
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...registry import NECKS
from ...structures import Level
from ...utils.errors import ConfigError
from ..layers.conv_norm import ConvNorm

RATES = {16: (6, 12, 18), 8: (12, 24, 36)}
# Names of weights in the public DeepLabv3+ that CFBI begins with (ASPP branches are counted from 1 there), and here.
PUBLIC_NAMES = (
    *((rf"aspp\.aspp{number}\.{theirs}\.(.*)", rf"aspp.branches.{number - 1}.{ours}.\1")
      for number in range(1, 5) for theirs, ours in (("atrous_conv", "conv"), ("bn", "norm"))),
    (r"aspp\.global_avg_pool\.1\.(.*)", r"aspp.pooled.conv.\1"),
    (r"aspp\.global_avg_pool\.2\.(.*)", r"aspp.pooled.norm.\1"),
    (r"aspp\.conv1\.(.*)", r"aspp.project.conv.\1"),
    (r"aspp\.bn1\.(.*)", r"aspp.project.norm.\1"),
    (r"decoder\.conv1\.(.*)", r"low.conv.\1"),
    (r"decoder\.bn1\.(.*)", r"low.norm.\1"),
    *((rf"decoder\.last_conv\.{theirs}\.(.*)", rf"refine.{ours}.\1")
      for theirs, ours in ((0, "0.conv"), (1, "0.norm"), (4, "1.conv"), (5, "1.norm"))))
CLASSIFIER = "decoder.last_conv.8."


def public_name(name: str) -> str:
    """Our name of a weight of the public DeepLabv3+; other names stay."""
    for pattern, ours in PUBLIC_NAMES:
        match = re.fullmatch(pattern, name)
        if match:
            return match.expand(ours)
    return name


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: a 1x1 and three dilated 3x3 convolutions, the global mean, and a projection.

    Args:
        in_channels, channels: of the input; of every branch and the output.
        rates: dilations of the 3x3 convolutions.
        norm: config of the norms.
        dropout: probability, after the projection.
    """

    def __init__(self, in_channels: int, channels: int, rates: Sequence[int], norm: dict, dropout: float):
        super().__init__()
        self.branches = nn.ModuleList([ConvNorm(in_channels, channels, 1, norm),
                                       *(ConvNorm(in_channels, channels, 3, norm, dilation=rate) for rate in rates)])
        self.pooled = ConvNorm(in_channels, channels, 1, norm)
        self.project = ConvNorm((len(rates) + 2) * channels, channels, 1, norm)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, channels, h, w)."""
        mean = self.pooled(x.mean(dim=(2, 3), keepdim=True)).expand(-1, -1, *x.shape[-2:])
        return self.dropout(self.project(torch.cat([*(branch(x) for branch in self.branches), mean], dim=1)))


@NECKS.register_module(role="joined", examples=[
    dict(channels=8, low_channels=4, rates=rates, norm=dict(type="GN")) for rates in (None, (2, 3))])
class DeepLabV3Plus(nn.Module):
    """DeepLabv3+ (Chen et al., ECCV 2018): ASPP on the last level, joined with a fine one; bilinear, aligned corners.

    Args:
        in_levels: name -> level of the backbone's pyramid; given by the encoder.
        channels: of the output and inside.
        low_level: name of the fine level that is joined.
        low_channels: to which that level is projected.
        rates: dilations of the ASPP; by the stride of the last level if None.
        dropout: of the ASPP.
        norm: config of the norms.

    Attributes:
        out_channels, stride: of the output.
    """

    def __init__(self, in_levels: Mapping[str, Level], channels: int = 256, low_level: str = "c2",
                 low_channels: int = 48, rates: Sequence[int] | None = None, dropout: float = 0.1,
                 norm: dict | None = None):
        super().__init__()
        if low_level not in in_levels:
            raise ConfigError(f"DeepLabV3Plus.low_level must be a level of the backbone ({', '.join(in_levels)}), got "
                              f"{low_level!r}")
        self.last, self.low_level = list(in_levels)[-1], low_level
        deep, low = in_levels[self.last], in_levels[low_level]
        if rates is None and deep.stride not in RATES:
            raise ConfigError(f"DeepLabV3Plus has no rates of its own for a last level of stride {deep.stride}: give "
                              "rates, or the backbone output_stride 8 or 16")
        norm = norm or dict(type="FrozenBN")
        self.out_channels, self.stride = channels, low.stride
        self.aspp = ASPP(deep.channels, channels, RATES[deep.stride] if rates is None else rates, norm, dropout)
        self.low = ConvNorm(low.channels, low_channels, 1, norm)
        self.refine = nn.Sequential(ConvNorm(channels + low_channels, channels, 3, norm),
                                    ConvNorm(channels, channels, 3, norm))

    def forward(self, pyramid: Mapping[str, Tensor]) -> Tensor:
        """{level: (N, C, h, w)} -> (N, channels, h, w) at the stride of the fine level."""
        low = self.low(pyramid[self.low_level])
        deep = F.interpolate(self.aspp(pyramid[self.last]), size=low.shape[-2:], mode="bilinear", align_corners=True)
        return self.refine(torch.cat([deep, low], dim=1))
