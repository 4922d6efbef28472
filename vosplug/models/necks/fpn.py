"""Feature pyramid network."""

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from ...registry import NECKS
from ...structures import Level


class PlainConv(nn.Module):
    """A convolution under the name ``conv``, so that weights of mmdet load by their names."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


@NECKS.register_module(examples=[dict(channels=8)])
class FPN(nn.Module):
    """Top-down pyramid with lateral connections (Lin et al., 2017). Parameter names are those of mmdet.

    Args:
        in_levels: name -> level of the backbone's pyramid, finest first; all are used.
        channels: of every level that comes out.

    Attributes:
        strides: of the levels, finest first.
        out_channels: ``channels``.
    """

    def __init__(self, in_levels: Mapping[str, Level], channels: int = 256):
        super().__init__()
        self.levels = tuple(in_levels)
        self.strides = tuple(level.stride for level in in_levels.values())
        self.out_channels = channels
        self.lateral_convs = nn.ModuleList(PlainConv(level.channels, channels, 1) for level in in_levels.values())
        self.fpn_convs = nn.ModuleList(PlainConv(channels, channels, 3) for _ in self.levels)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, pyramid: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """{level: (F, C, h, w)} -> one (F, channels, h, w) per level, finest first."""
        levels = [conv(pyramid[name]) for name, conv in zip(self.levels, self.lateral_convs, strict=True)]
        for i in range(len(levels) - 1, 0, -1):
            levels[i - 1] = levels[i - 1] + F.interpolate(levels[i], size=levels[i - 1].shape[-2:], mode="nearest")
        return tuple(conv(x) for conv, x in zip(self.fpn_convs, levels, strict=True))
