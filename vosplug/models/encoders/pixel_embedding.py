"""Encoder of CFBI and SST: an embedding of every cell at a fine stride."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from ...registry import BACKBONES, ENCODERS, NECKS
from ...utils.checkpoint import load_checkpoint_file, load_weights, model_state
from ...utils.errors import CheckpointError, ConfigError
from ..backbones.base import drop_counters
from ..layers.build import build_norm
from ..necks.deeplab import CLASSIFIER, public_name


@dataclass
class PixelFeatures:
    """What is known of one frame.

    Attributes:
        pyramid: level -> (B, C, H/stride, W/stride).
        embedding: (B, C, h, w); None while only the shallow levels are there.
        kept: what a matching head wants to remember of the frame, by name; None before it has seen it.
    """

    pyramid: dict[str, Tensor]
    embedding: Tensor | None = None
    kept: dict[str, Tensor] | None = None


@ENCODERS.register_module(role="pixels", examples=lambda: [
    *(dict(backbone=BACKBONES.example("ResNet", output_stride=stride), neck=NECKS.example("DeepLabV3Plus", number),
           channels=8) for number, stride in enumerate((16, 8))),
    dict(backbone=BACKBONES.example("ResNet", output_stride=16), low_level="c2", channels=8,
         neck=NECKS.example("DeepLabV3Plus", low_level="c3"))])
class PixelEmbedding(nn.Module):
    """Backbone, neck, and a depthwise-separable projection with norms and ReLUs: embeddings are not negative.

    Args:
        backbone: config (kind ``backbone``).
        neck: config (kind ``neck``).
        channels: of the embedding (CFBI 100, SST 128).
        low_level: name of the fine level that the decoder sees too; that of the neck if None.
        weights: file of a public DeepLabv3+ (``backbone.*``, ``aspp.*``, ``decoder.*``) that backbone and neck begin
            with; its classifier is left out.
        norm, out_norm: configs of the norms after the depthwise and after the pointwise convolution.

    Attributes:
        levels: of the backbone.
        out_channels, stride: of the embedding.
        low_channels: of that fine level.
    """

    def __init__(self, backbone: dict, neck: dict, channels: int = 100, low_level: str | None = None,
                 weights: str | None = None, norm: dict | None = None, out_norm: dict | None = None):
        super().__init__()
        self.backbone = BACKBONES.build(backbone)
        self.levels = self.backbone.levels
        self.neck = NECKS.build(neck, in_levels=self.levels)
        wide = self.neck.out_channels
        self.out_channels, self.stride = channels, self.neck.stride
        self.low_level = low_level or self.neck.low_level
        if self.low_level not in self.levels:
            raise ConfigError(f"PixelEmbedding.low_level must be a level of the backbone ({', '.join(self.levels)}), "
                              f"got {low_level!r}")
        self.low_channels = self.levels[self.low_level].channels
        self.depthwise = nn.Conv2d(wide, wide, 3, padding=1, groups=wide)
        self.depthwise_norm = build_norm(norm or dict(type="GN", groups=32), wide)
        self.pointwise = nn.Conv2d(wide, channels, 1)
        self.pointwise_norm = build_norm(out_norm or dict(type="GN", channels_per_group=4), channels)
        for conv in (self.depthwise, self.pointwise):
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        if weights:
            self.load_pretrained(weights)

    def load_pretrained(self, path: str) -> None:
        """Load backbone and neck strictly.

        Raises:
            CheckpointError: the file cannot be read, or holds something else.
        """
        state = model_state(load_checkpoint_file(path))
        inner = {name.removeprefix("backbone."): value for name, value in state.items() if name.startswith("backbone.")}
        neck = {public_name(name): value for name, value in state.items()
                if not name.startswith(("backbone.", CLASSIFIER))}
        if not inner:
            raise CheckpointError(f"{path} holds no DeepLabv3+ (backbone.*, aspp.*, decoder.*); its first names: "
                                  f"{', '.join(list(state)[:3])}")
        drop_counters(self.neck, neck)
        self.backbone.load_state(inner, path)
        load_weights(self.neck, neck)

    def forward(self, frame: Tensor) -> PixelFeatures:
        """Encode (B, 3, H, W)."""
        return self.deep(self.shallow(frame))

    def shallow(self, frame: Tensor) -> PixelFeatures:
        """The pyramid of (B, 3, H, W) up to the fine level; the rest waits for :meth:`deep`."""
        return PixelFeatures(self.backbone(frame, upto=self.low_level))

    def deep(self, features: PixelFeatures) -> PixelFeatures:
        """Complete ``features`` in place; asking again costs nothing."""
        if features.embedding is None:
            features.pyramid = self.backbone.extend(features.pyramid)
            x = F.relu(self.depthwise_norm(self.depthwise(self.neck(features.pyramid))))
            features.embedding = F.relu(self.pointwise_norm(self.pointwise(x)))
        return features
