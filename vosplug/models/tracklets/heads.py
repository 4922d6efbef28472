"""What is read from tracklet features: class, box tube, renewed query (TrackletHead), mask (TrackletMaskHead)."""

import math

from torch import Tensor, nn

from ...registry import DYNAMIC_CONVS, TRACKLET_HEADS
from ...utils.errors import ConfigError
from ..layers.build import build_norm

PRIOR = 0.01  # probability that a class has at the start, so that the focal loss of the many negatives stays small


def tower(channels: int, layers: int) -> nn.Sequential:
    """``layers`` times linear, LayerNorm, ReLU."""
    parts: list[nn.Module] = []
    for _ in range(layers):
        parts += [nn.Linear(channels, channels, bias=False), nn.LayerNorm(channels), nn.ReLU()]
    return nn.Sequential(*parts)


@TRACKLET_HEADS.register_module(examples=lambda: [
    dict(ffn_channels=16, dynamic_conv=DYNAMIC_CONVS.example("TemporalDynamicConv"), **options)
    for options in (dict(), dict(size=5, cls_layers=2, reg_layers=1))])
class TrackletHead(nn.Module):
    """Dynamic convolution over the crops of a tracklet, then class, box offsets and the renewed query per frame.

    The layers after the dynamic convolution are those of Sparse R-CNN's dynamic instance interactive head.

    Args:
        channels: C.
        num_classes: K.
        dynamic_conv: config (kind ``dynamic convolution``).
        size: S, cells per side of the crops.
        ffn_channels: hidden width of the feed-forward network.
        cls_layers, reg_layers: hidden layers before the classes and before the boxes.
        dropout: in the feed-forward network and after the dynamic convolution.
    """

    def __init__(self, channels: int, num_classes: int, dynamic_conv: dict | None = None, size: int = 7,
                 ffn_channels: int = 2048, cls_layers: int = 1, reg_layers: int = 3, dropout: float = 0.0):
        super().__init__()
        self.dynamic_conv = DYNAMIC_CONVS.build(dynamic_conv or dict(type="TemporalDynamicConv"), channels=channels)
        self.size = size
        self.fc_layer = nn.Linear(channels * size * size, channels)
        self.fc_norm = nn.LayerNorm(channels)
        self.norm = nn.LayerNorm(channels)
        self.ffn = nn.Sequential(nn.Linear(channels, ffn_channels), nn.ReLU(), nn.Linear(ffn_channels, channels))
        self.ffn_norm = nn.LayerNorm(channels)
        self.dropout = nn.Dropout(dropout)
        self.cls_fcs, self.reg_fcs = tower(channels, cls_layers), tower(channels, reg_layers)
        self.fc_cls, self.fc_reg = nn.Linear(channels, num_classes), nn.Linear(channels, 4)

    def reset(self) -> None:
        """Start values that are not random."""
        nn.init.constant_(self.fc_cls.bias, -math.log((1 - PRIOR) / PRIOR))

    def forward(self, queries: Tensor, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Read the crops.

        Args:
            queries: (B, T, N, C) after the attention.
            crops: (B, T, N, C, S, S).

        Returns:
            Class logits (B, T, N, K), box offsets (B, T, N, 4), renewed queries (B, T, N, C).
        """
        features = self.dynamic_conv(queries, crops).flatten(3)
        x = self.norm(queries + self.dropout(self.fc_norm(self.fc_layer(features)).relu()))
        x = self.ffn_norm(x + self.dropout(self.ffn(x)))
        return self.fc_cls(self.cls_fcs(x)), self.fc_reg(self.reg_fcs(x)), x


class ConvNormReLU(nn.Module):
    """3x3 convolution, norm, ReLU, under mmdet's names."""

    def __init__(self, channels: int, norm: dict | None):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=norm is None)
        self.bn = build_norm(norm, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x)).relu()


@TRACKLET_HEADS.register_module(examples=lambda: [
    dict(dynamic_conv=DYNAMIC_CONVS.example("TemporalDynamicConv"), **options)
    for options in (dict(convs=1, size=6), dict(convs=0, size=5, norm=dict(type="GN")))])
class TrackletMaskHead(nn.Module):
    """Masks of all classes inside the boxes, from a dynamic convolution of its own over larger crops (QueryInst).

    Args:
        channels: C.
        num_classes: K.
        dynamic_conv: config (kind ``dynamic convolution``).
        convs: number of convolutions.
        norm: of the convolutions, see :func:`~vosplug.models.layers.build.build_norm`.
        size: cells per side of the crops; masks have twice as many.
    """

    def __init__(self, channels: int, num_classes: int, dynamic_conv: dict | None = None, convs: int = 4,
                 norm: dict | None = None, size: int = 14):
        super().__init__()
        if convs < 0:
            raise ConfigError(f"TrackletMaskHead.convs must be at least 0, got {convs}")
        self.size = size
        self.dynamic_conv = DYNAMIC_CONVS.build(dynamic_conv or dict(type="TemporalDynamicConv"), channels=channels)
        self.convs = nn.Sequential(*(ConvNormReLU(channels, norm) for _ in range(convs)))
        self.upsample = nn.ConvTranspose2d(channels, channels, 2, stride=2)
        self.conv_logits = nn.Conv2d(channels, num_classes, 1)

    def reset(self) -> None:
        """Start values that are not random."""
        nn.init.zeros_(self.conv_logits.bias)

    def forward(self, queries: Tensor, crops: Tensor) -> Tensor:
        """(B, T, N, C) after the attention, (B, T, N, C, S, S) -> logits (B, T, N, K, 2S, 2S)."""
        x = self.dynamic_conv(queries, crops).transpose(-1, -2).reshape(crops.shape).flatten(0, 2)
        x = self.conv_logits(self.upsample(self.convs(x)).relu())
        return x.unflatten(0, crops.shape[:3])
