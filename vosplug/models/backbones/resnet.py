"""Residual networks that publish their feature pyramid."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...registry import BACKBONES
from ...utils.checkpoint import load_checkpoint_file, load_weights, model_state
from ...utils.errors import ConfigError
from ..layers.build import build_conv, build_norm, conv_norm_relu

DEPTHS = {18: ("basic", (2, 2, 2, 2)), 34: ("basic", (3, 4, 6, 3)), 50: ("bottleneck", (3, 4, 6, 3)),
          101: ("bottleneck", (3, 4, 23, 3))}
WIDTHS = (64, 128, 256)  # the fourth stage is added by a fourth width: widths=(64, 128, 256, 512)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions (He et al., 2016). ``conv`` (and ``shortcut_conv``) may name a sparse convolution."""

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int, conv: dict | None, norm: dict, bias: bool,
                 shortcut_conv: dict | None = None):
        super().__init__()
        self.conv1 = build_conv(conv, in_channels, width, 3, stride=stride, padding=1, bias=bias)
        self.bn1 = build_norm(norm, width)
        self.conv2 = build_conv(conv, width, width, 3, padding=1, bias=bias)
        self.bn2 = build_norm(norm, width)
        self.downsample = shortcut(in_channels, width, stride, norm, bias, shortcut_conv)

    def forward(self, x: Tensor) -> Tensor:
        out = conv_norm_relu(self.conv1, self.bn1, x)
        shortcut = x if self.downsample is None else self.downsample(x)
        return conv_norm_relu(self.conv2, self.bn2, out, shortcut=shortcut)


class Bottleneck(nn.Module):
    """1x1, 3x3 (which carries the stride), 1x1. ``conv`` (and ``shortcut_conv``) may name a sparse convolution."""

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int, conv: dict | None, norm: dict, bias: bool,
                 shortcut_conv: dict | None = None):
        super().__init__()
        out_channels = width * self.expansion
        self.conv1 = build_conv(conv, in_channels, width, 1, bias=bias)
        self.bn1 = build_norm(norm, width)
        self.conv2 = build_conv(conv, width, width, 3, stride=stride, padding=1, bias=bias)
        self.bn2 = build_norm(norm, width)
        self.conv3 = build_conv(conv, width, out_channels, 1, bias=bias)
        self.bn3 = build_norm(norm, out_channels)
        self.downsample = shortcut(in_channels, out_channels, stride, norm, bias, shortcut_conv)

    def forward(self, x: Tensor) -> Tensor:
        out = conv_norm_relu(self.conv1, self.bn1, x)
        out = conv_norm_relu(self.conv2, self.bn2, out)
        shortcut = x if self.downsample is None else self.downsample(x)
        return conv_norm_relu(self.conv3, self.bn3, out, shortcut=shortcut)


BLOCKS = {"basic": BasicBlock, "bottleneck": Bottleneck}


def shortcut(in_channels: int, out_channels: int, stride: int, norm: dict, bias: bool,
             conv: dict | None = None) -> nn.Sequential | None:
    """1x1 convolution and norm where a block changes the shape, else None."""
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(build_conv(conv, in_channels, out_channels, 1, stride=stride, bias=bias),
                         build_norm(norm, out_channels))


@BACKBONES.register_module()
class ResNet(nn.Module):
    """ResNet up to stride 16: stem and three stages; with four ``widths`` up to 32. Parameter names are torchvision's.

    Args:
        depth: 18, 34, 50 or 101, or None with ``block`` and ``blocks`` given.
        in_channels: of the input (image and masks for a value encoder).
        stem_channels, stem_kernel: of the first convolution (stride 2).
        stem_pool: a 3x3 max-pooling of stride 2 follows the stem; without it the first stage has stride 2.
        widths: of the three or four stages (times 4 at the output of bottlenecks).
        block: ``basic`` or ``bottleneck``; by ``depth`` if None.
        blocks: number of blocks per stage; by ``depth`` if None.
        conv: config of the convolutions inside the blocks (kind ``sparse convolution``); dense if None.
        shortcut_conv: the same for the convolutions on their shortcuts.
        norm: config of the norms, see :func:`~vosplug.models.layers.build.build_norm`.
        bias: convolutions have biases.
        frozen_stages: the stem (1 and more) and the stages before this number, itself included, are not trained.
        freeze_norm_stats: batch norms use their running statistics in training too, as STCN and XMem train.
        weights: path of a torchvision-style state dict to start from; ``fc``, and with three stages ``layer4``, are not
            used.

    Attributes:
        out_channels: stride -> channels of the pyramid ``forward`` returns.
    """

    def __init__(self, depth: int | None = 50, in_channels: int = 3, stem_channels: int = 64, stem_kernel: int = 7,
                 stem_pool: bool = True, widths: tuple = WIDTHS, block: str | None = None, blocks: tuple | None = None,
                 conv: dict | None = None, norm: dict | None = None, bias: bool = False, freeze_norm_stats: bool = True,
                 frozen_stages: int = 0, weights: str | None = None, shortcut_conv: dict | None = None):
        super().__init__()
        if len(widths) not in (3, 4):
            raise ConfigError(f"ResNet.widths must be three or four numbers, one per stage, got {widths}")
        block_class, counts = resolve_depth(depth, block, blocks, stages=len(widths))
        if not 0 <= frozen_stages <= len(widths):
            raise ConfigError(f"ResNet.frozen_stages must lie in 0..{len(widths)}, got {frozen_stages}")
        norm = norm or dict(type="BN")
        self.freeze_norm_stats = freeze_norm_stats
        self.stem_pool = stem_pool
        self.conv1 = nn.Conv2d(in_channels, stem_channels, stem_kernel, stride=2, padding=stem_kernel // 2, bias=bias)
        self.bn1 = build_norm(norm, stem_channels)
        channels = stem_channels
        strides = (1 if stem_pool else 2, 2, 2, 2)[: len(widths)]
        self.out_channels: dict[int, int] = {}
        for stage, (width, count, stride) in enumerate(zip(widths, counts, strides, strict=True), start=1):
            layers = []
            for index in range(count):
                layers.append(block_class(channels, width, stride if index == 0 else 1, conv, norm, bias,
                                          shortcut_conv))
                channels = width * block_class.expansion
            self.add_module(f"layer{stage}", nn.Sequential(*layers))
            self.out_channels[2 ** (stage + 1)] = channels
        self.reset_parameters()
        if weights:
            self.load_pretrained(weights)
        for name in ("conv1", "bn1", *(f"layer{n}" for n in range(1, frozen_stages + 1))) if frozen_stages else ():
            getattr(self, name).requires_grad_(False)
        self.train()  # a new module is in training mode without having been told so

    def reset_parameters(self) -> None:
        """He initialisation of all convolutions."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def load_pretrained(self, path: str) -> None:
        """Load torchvision-style weights.

        A stem with more input channels keeps its own weights for those. Biases of convolutions, which torchvision does
        not have, become zero; counters of batch norms, which old files lack, keep their start value.
        """
        state = {k: v for k, v in model_state(load_checkpoint_file(path)).items()
                 if not k.startswith("fc.") and (len(self.out_channels) == 4 or not k.startswith("layer4."))}
        stem = self.conv1.weight.detach().clone()
        given = state.get("conv1.weight")
        fits = given is not None and given.ndim == 4 and (given[:, 0].shape == stem[:, 0].shape)
        if fits and given.shape[1] < stem.shape[1]:
            stem[:, : given.shape[1]] = given
            state["conv1.weight"] = stem
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                state.setdefault(f"{name}.bias", torch.zeros_like(module.bias))
            if getattr(module, "num_batches_tracked", None) is not None:
                state.setdefault(f"{name}.num_batches_tracked", module.num_batches_tracked)
        load_weights(self, state)

    def train(self, mode: bool = True) -> "ResNet":
        super().train(mode)
        if mode and self.freeze_norm_stats:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def forward(self, x: Tensor) -> dict[int, Tensor]:
        """(N, in_channels, H, W) -> {4: (N, C4, H/4, W/4), 8: ..., 16: ...}, and 32 with four stages."""
        x = F.relu(self.bn1(self.conv1(x)))
        if self.stem_pool:
            x = F.max_pool2d(x, 3, stride=2, padding=1)
        f4 = self.layer1(x)
        f8 = self.layer2(f4)
        pyramid = {4: f4, 8: f8, 16: self.layer3(f8)}
        if 32 in self.out_channels:
            pyramid[32] = self.layer4(pyramid[16])
        return pyramid


def resolve_depth(depth: int | None, block: str | None, blocks: tuple | None, stages: int = 3) -> tuple[type, tuple]:
    """Block class and number of blocks of each of the first ``stages`` stages."""
    if depth is not None and depth not in DEPTHS:
        raise ConfigError(f"ResNet depth must be one of {sorted(DEPTHS)} or None, got {depth}")
    default_block, default_blocks = DEPTHS.get(depth, (None, None))
    block, blocks = block or default_block, tuple(blocks or (default_blocks or ())[:stages])
    if block not in BLOCKS or len(blocks) != stages:
        count = {3: "three", 4: "four"}[stages]
        raise ConfigError(f"ResNet needs depth, or block ('basic' or 'bottleneck') and blocks ({count} numbers); "
                          f"got block={block!r}, blocks={blocks}")
    return BLOCKS[block], blocks
