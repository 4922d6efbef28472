"""MobileNet-V2 (Sandler et al., CVPR 2018): inverted residuals with linear bottlenecks."""

from dataclasses import replace

import torch.nn.functional as F
from torch import Tensor, nn

from ...registry import BACKBONES
from ...structures import Level
from ...utils.errors import ConfigError
from ..layers.build import build_norm, conv_norm_relu
from .base import Backbone
from .inverted_residuals import Group, Place, block_places, scaled
from .pretrained import TORCHVISION, Published

# Table 2 of the paper: expansion, channels, blocks, stride of each group of blocks.
GROUPS = tuple(Group(*numbers) for numbers in (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)))
STEM_CHANNELS, LAST_CHANNELS = 32, 1280
PUBLISHED = Published(file="mobilenet_v2-b0353104.pth", stem="mobilenet_v2", address=TORCHVISION)
# Step -> where it begins among ``features``: each ends where the resolution falls next.
BEGINS = {"c1": 0, "c2": 2, "c3": 4, "c4": 7, "c5": 14}


class ConvNormReLU6(nn.Sequential):
    """Convolution, norm and min(max(x, 0), 6)."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, norm: dict, **options):
        super().__init__(nn.Conv2d(in_channels, out_channels, kernel_size, bias=False, **options),
                         build_norm(norm, out_channels))

    def forward(self, x: Tensor) -> Tensor:
        conv, norm = self
        # A drop-in for the convolution may keep its output, so that only a plain one's may be written to.
        return F.relu6(conv_norm_relu(conv, norm, x, relu=False), inplace=not hasattr(conv, "fused"))


class InvertedResidual(nn.Module):
    """1x1 that widens, depthwise 3x3 (which carries stride and dilation), linear 1x1; a shortcut where shapes allow.

    Args:
        place: its shape; an expansion of 1 leaves the first convolution out.
        norm: config of the norms.
    """

    def __init__(self, place: Place, norm: dict):
        super().__init__()
        width = place.in_channels * place.expansion
        self.residual = place.stride == 1 and place.in_channels == place.out_channels
        self.conv = nn.Sequential(
            *([ConvNormReLU6(place.in_channels, width, 1, norm)] if place.expansion != 1 else []),
            ConvNormReLU6(width, width, 3, norm, stride=place.stride, padding=place.dilation, dilation=place.dilation,
                          groups=width),
            nn.Conv2d(width, place.out_channels, 1, bias=False), build_norm(norm, place.out_channels))

    def forward(self, x: Tensor) -> Tensor:
        *layers, linear, norm = self.conv
        out = x
        for layer in layers:
            out = layer(out)
        return conv_norm_relu(linear, norm, out, relu=False, shortcut=x if self.residual else None)


@BACKBONES.register_module(examples=[
    dict(width=0.1), dict(width=0.1, norm=dict(type="FrozenBN"), output_stride=16)])
class MobileNetV2(Backbone):
    """MobileNet-V2 without its classifier. Parameter names are torchvision's.

    Levels are ``c2`` (24 channels, stride 4), ``c3`` (32, 8), ``c4`` (96, 16) and ``c5`` (1280, behind the last 1x1
    convolution).

    Args:
        in_channels: of the input.
        width: factor of all channels, rounded to multiples of 8; the last layer does not become narrower.
        norm: config of the norms, see :func:`~vosplug.models.layers.build.build_norm`.
        output_stride: 32, or 16: the last stage is dilated instead of being coarser, its first block excepted, as in
            AOT (Yang et al., NeurIPS 2021); or 8: the last two stages are.
        last: the last level, ``c5``, or ``c4``: what lies behind it is not built.
        frozen_stages: the stem (``features`` 0 and 1), and the stages that end at ``c2`` (1), ``c3`` (2), ...
        weights: see :meth:`~.base.Backbone.finish`.
        freeze_norm_stats: see :class:`~.base.Backbone`.
    """

    stem = "features.0.0"

    def __init__(self, in_channels: int = 3, width: float = 1.0, norm: dict | None = None, output_stride: int = 32,
                 last: str = "c5", freeze_norm_stats: bool = True, frozen_stages: int = 0, weights: str | None = None):
        super().__init__(freeze_norm_stats)
        if output_stride not in (8, 16, 32):
            raise ConfigError(f"MobileNetV2.output_stride must be 8, 16 or 32, got {output_stride}")
        if last not in ("c4", "c5"):
            raise ConfigError(f"MobileNetV2.last must be c4 or c5, got {last!r}")
        if not width > 0:
            raise ConfigError(f"MobileNetV2.width must be positive, got {width}")
        norm = norm or dict(type="BN")
        self.width = width
        channels = scaled(STEM_CHANNELS, width)
        features: list[nn.Module] = [ConvNormReLU6(in_channels, channels, 3, norm, stride=2, padding=1)]
        of_blocks = [Level(channels, 2)]
        groups = [replace(group, channels=scaled(group.channels, width)) for group in GROUPS]
        for place in block_places(groups, channels, output_stride):
            features.append(InvertedResidual(place, norm))
            of_blocks.append(Level(place.out_channels, place.level_stride))
        widest = scaled(LAST_CHANNELS, max(1.0, width))
        features.append(ConvNormReLU6(place.out_channels, widest, 1, norm))
        of_blocks.append(Level(widest, place.level_stride))
        ends = [*list(BEGINS.values())[1:], len(features)]
        self.steps = tuple(BEGINS)[: list(BEGINS).index(last) + 1]
        self.features = nn.Sequential(*features[: ends[len(self.steps) - 1]])
        self.unused = {"classifier.": "the classifier",
                       **{f"features.{index}.": "a stage that this network does not have"
                          for index in range(len(self.features), len(features))}}
        self.spans = {step: range(begin, end) for (step, begin), end in zip(BEGINS.items(), ends, strict=True)
                      if step in self.steps}
        self.levels = {step: of_blocks[span[-1]] for step, span in self.spans.items() if step != "c1"}
        self.finish(weights, frozen_stages)

    @property
    def stages(self) -> list[list[nn.Module]]:
        return [[self.features[index] for index in span] for span in self.spans.values()]

    @property
    def published(self) -> Published | None:
        """torchvision's."""
        return PUBLISHED if self.width == 1 else None

    def advance(self, step: str, x: Tensor) -> Tensor:
        for index in self.spans[step]:
            x = self.features[index](x)
        return x
