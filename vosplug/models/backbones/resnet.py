"""Residual networks that publish their feature pyramid."""

import torch.nn.functional as F
from torch import Tensor, nn

from ...registry import BACKBONES
from ...structures import Level
from ...utils.errors import ConfigError
from ..layers.build import build_norm, conv_norm_relu
from .base import Backbone
from .pretrained import TORCHVISION, Published

DEPTHS = {18: ("basic", (2, 2, 2, 2)), 34: ("basic", (3, 4, 6, 3)), 50: ("bottleneck", (3, 4, 6, 3)),
          101: ("bottleneck", (3, 4, 23, 3))}
PUBLISHED = {depth: Published(file=f"resnet{depth}-{digest}.pth", stem=f"resnet{depth}", address=TORCHVISION)
             for depth, digest in ((18, "f37072fd"), (34, "b627a593"), (50, "0676ba61"), (101, "63fe2227"))}
WIDTHS = (64, 128, 256)  # the fourth stage is added by a fourth width: widths=(64, 128, 256, 512)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions (He et al., 2016), the first of which carries the stride."""

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int, dilation: int, norm: dict, bias: bool):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride=stride, padding=dilation, dilation=dilation, bias=bias)
        self.bn1 = build_norm(norm, width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation, bias=bias)
        self.bn2 = build_norm(norm, width)
        self.downsample = shortcut(in_channels, width, stride, norm, bias)

    def forward(self, x: Tensor) -> Tensor:
        out = conv_norm_relu(self.conv1, self.bn1, x)
        return conv_norm_relu(self.conv2, self.bn2, out, shortcut=carried(x, self.downsample))


class Bottleneck(nn.Module):
    """1x1, 3x3 (which carries stride and dilation), 1x1."""

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int, dilation: int, norm: dict, bias: bool):
        super().__init__()
        out_channels = width * self.expansion
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=bias)
        self.bn1 = build_norm(norm, width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=dilation, dilation=dilation, bias=bias)
        self.bn2 = build_norm(norm, width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=bias)
        self.bn3 = build_norm(norm, out_channels)
        self.downsample = shortcut(in_channels, out_channels, stride, norm, bias)

    def forward(self, x: Tensor) -> Tensor:
        out = conv_norm_relu(self.conv1, self.bn1, x)
        out = conv_norm_relu(self.conv2, self.bn2, out)
        return conv_norm_relu(self.conv3, self.bn3, out, shortcut=carried(x, self.downsample))


class HalfDilatedBlock(BasicBlock):
    """A basic block of which the second convolution alone is dilated (TTVOS)."""

    def __init__(self, in_channels: int, width: int, stride: int, dilation: int, norm: dict, bias: bool):
        super().__init__(in_channels, width, stride, dilation, norm, bias)
        self.conv1.padding = self.conv1.dilation = (1, 1)


BLOCKS = {"basic": BasicBlock, "bottleneck": Bottleneck, "half_dilated": HalfDilatedBlock}


def shortcut(in_channels: int, out_channels: int, stride: int, norm: dict, bias: bool) -> nn.Sequential | None:
    """1x1 convolution and norm where a block changes the shape, else None."""
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=bias),
                         build_norm(norm, out_channels))


def carried(x: Tensor, downsample: nn.Sequential | None) -> Tensor:
    """What the shortcut of a block adds."""
    return x if downsample is None else conv_norm_relu(*downsample, x, relu=False)


def small_resnets() -> list[dict]:
    """Examples: both blocks, three and four stages; then dilated ones."""
    plain = [dict(depth=None, block=block, blocks=(1,) * len(widths), stem_channels=8, widths=widths)
             for widths in ((4, 8, 8), (4, 6, 8, 10)) for block in ("basic", "bottleneck")]
    return plain + [dict(depth=None, block="bottleneck", blocks=(1, 2, 1, 2), stem_channels=4, widths=(4, 6, 8, 10),
                         norm=dict(type="FrozenBN"), stem_levels=True, output_stride=stride) for stride in (8, 16)]


@BACKBONES.register_module(examples=small_resnets)
class ResNet(Backbone):
    """ResNet up to stride 16: stem and three stages; with four ``widths`` up to 32. Parameter names are torchvision's.

    Levels are ``c2`` (first stage, stride 4), ``c3``, ``c4`` and, with four stages, ``c5``.

    Args:
        depth: 18, 34, 50 or 101, or None with ``block`` and ``blocks`` given.
        in_channels: of the input (image and masks for a value encoder).
        stem_channels, stem_kernel: of the first convolution (stride 2).
        stem_pool: a 3x3 max-pooling of stride 2 follows the stem; without it the first stage has stride 2.
        stem_levels: the first convolution (``c1``, stride 2) and what is pooled (``stem``, stride 4) are levels too.
        widths: of the three or four stages (times 4 at the output of bottlenecks).
        block: ``basic``, ``bottleneck`` or ``half_dilated`` (a basic block of which the second convolution alone is
            dilated); by ``depth`` if None.
        blocks: number of blocks per stage; by ``depth`` if None.
        norm: config of the norms, see :func:`~vosplug.models.layers.build.build_norm`.
        bias: convolutions have biases.
        output_stride: 8, 16 or 32: stages that would be coarser are dilated instead.
        dilate_first: the first block of a dilated stage is dilated like the others (DeepLab, CFBI); False gives it the
            dilation of the stage before (torchvision).
        multi_grid: one factor per block of the last stage, by which its dilation is multiplied: (1, 2, 4) in DeepLab.
        frozen_stages, weights: see :meth:`~.base.Backbone.finish`.
        freeze_norm_stats: see :class:`~.base.Backbone`.
    """

    def __init__(self, depth: int | None = 50, in_channels: int = 3, stem_channels: int = 64, stem_kernel: int = 7,
                 stem_pool: bool = True, stem_levels: bool = False, widths: tuple = WIDTHS, block: str | None = None,
                 blocks: tuple | None = None, norm: dict | None = None, bias: bool = False, output_stride: int = 32,
                 dilate_first: bool = False, multi_grid: tuple | None = None, freeze_norm_stats: bool = True,
                 frozen_stages: int = 0, weights: str | None = None):
        super().__init__(freeze_norm_stats)
        if len(widths) not in (3, 4):
            raise ConfigError(f"ResNet.widths must be three or four numbers, one per stage, got {widths}")
        block_class, counts = resolve_depth(depth, block, blocks, stages=len(widths))
        norm = norm or dict(type="BN")
        # The sizes that published weights have; what else is different shows when they are loaded.
        usual = (stem_channels, stem_kernel, *widths) == (64, 7, 64, 128, 256, 512)[: 2 + len(widths)]
        self._published = PUBLISHED.get(depth) if usual else None
        self.unused = {"fc.": "the classifier"}
        if len(widths) == 3:
            self.unused["layer4."] = "a stage that this network does not have"
        self.conv1 = nn.Conv2d(in_channels, stem_channels, stem_kernel, stride=2, padding=stem_kernel // 2, bias=bias)
        self.bn1 = build_norm(norm, stem_channels)
        self.steps = ("c1", "stem") if stem_pool else ("c1",)
        if stem_levels:
            self.levels = {step: Level(stem_channels, stride) for step, stride in zip(self.steps, (2, 4), strict=False)}
        channels, level_stride = stem_channels, 4 if stem_pool else 2
        places = stage_places(counts, level_stride, output_stride, dilate_first, multi_grid)
        for number, (width, place) in enumerate(zip(widths, places, strict=True), start=1):
            layers = []
            for stride, dilation in place:
                layers.append(block_class(channels, width, stride, dilation, norm, bias))
                channels, level_stride = width * block_class.expansion, level_stride * stride
            self.add_module(f"layer{number}", nn.Sequential(*layers))
            self.steps += (f"c{number + 1}",)
            self.levels[f"c{number + 1}"] = Level(channels, level_stride)
        self.finish(weights, frozen_stages)

    @property
    def stages(self) -> list[list[nn.Module]]:
        layers = [module for name, module in self.named_children() if name.startswith("layer")]
        return [[self.conv1, self.bn1], *([layer] for layer in layers)]

    @property
    def published(self) -> Published | None:
        """torchvision's, of its first recipe, which the methods of the papers start from."""
        return self._published

    def advance(self, step: str, x: Tensor) -> Tensor:
        if step == "c1":
            return conv_norm_relu(self.conv1, self.bn1, x)
        if step == "stem":
            return F.max_pool2d(x, 3, stride=2, padding=1)
        return getattr(self, f"layer{int(step[1:]) - 1}")(x)


def stage_places(counts: tuple, stride: int, output_stride: int, dilate_first: bool,
                 multi_grid: tuple | None) -> list[list[tuple[int, int]]]:
    """(stride, dilation) of every block of every stage.

    Args:
        counts: number of blocks per stage.
        stride: of the input of the first stage, which comes out at stride 4.
        output_stride, dilate_first, multi_grid: see :class:`ResNet`.
    """
    if output_stride not in (8, 16, 32):
        raise ConfigError(f"ResNet.output_stride must be 8, 16 or 32, got {output_stride}")
    if multi_grid is not None and len(multi_grid) != counts[-1]:
        raise ConfigError(f"ResNet.multi_grid must be {counts[-1]} numbers, one per block of the last stage, "
                          f"got {tuple(multi_grid)}")
    places, dilation = [], 1
    for number, count in enumerate(counts):
        before, step = dilation, 4 // stride if number == 0 else 2
        if stride * step > output_stride:
            dilation, step = dilation * step, 1
        stride *= step
        dilations = [dilation if dilate_first else before] + [dilation] * (count - 1)
        if multi_grid is not None and number == len(counts) - 1:
            dilations = [d * factor for d, factor in zip(dilations, multi_grid, strict=True)]
        places.append([(step if index == 0 else 1, d) for index, d in enumerate(dilations)])
    return places


def resolve_depth(depth: int | None, block: str | None, blocks: tuple | None, stages: int = 3) -> tuple[type, tuple]:
    """Block class and number of blocks of each of the first ``stages`` stages."""
    if depth is not None and depth not in DEPTHS:
        raise ConfigError(f"ResNet depth must be one of {sorted(DEPTHS)} or None, got {depth}")
    default_block, default_blocks = DEPTHS.get(depth, (None, None))
    block, blocks = block or default_block, tuple(blocks or (default_blocks or ())[:stages])
    if block not in BLOCKS or len(blocks) != stages:
        count = {3: "three", 4: "four"}[stages]
        raise ConfigError(f"ResNet needs depth, or block ({', '.join(BLOCKS)}) and blocks ({count} numbers); "
                          f"got block={block!r}, blocks={blocks}")
    return BLOCKS[block], blocks
