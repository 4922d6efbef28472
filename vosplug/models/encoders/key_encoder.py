"""Object-independent features of a frame."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ...registry import BACKBONES, ENCODERS, LAYERS

SHALLOW = "c3"  # the last level that is cheap enough to look at before anything is decided


@dataclass
class FrameFeatures:
    """What a key encoder says of a frame, before any object is considered; only the first two at first.

    Attributes:
        frame: (B, 3, H, W), what the features are of.
        pyramid: level -> (B, C, H/stride, W/stride), for skip connections.
        key: (B, Ck, h, w), compared with the keys of the memory.
        context: (B, Cc, h, w), what the decoder gets beside the read-out.
        base: (B, Cb, h, w), the feature that keys are made of; the value encoder gets it too.
        shrinkage: (B, 1, h, w), at least 1: how sharply the tokens of this frame are told from others once memorised.
        selection: (B, Ck, h, w) in (0, 1): which key channels count when this frame asks.
        decoded: what a method keeps of decoding this frame until it is memorised.
    """

    frame: Tensor
    pyramid: dict[str, Tensor]
    key: Tensor | None = None
    context: Tensor | None = None
    base: Tensor | None = None
    shrinkage: Tensor | None = None
    selection: Tensor | None = None
    decoded: Any = None


@ENCODERS.register_module(role="keys", examples=lambda: [
    dict(backbone=BACKBONES.example("ResNet"), key_channels=5, context_channels=None, anisotropic=True),
    dict(backbone=BACKBONES.example("ResNet"), key_channels=5, context_channels=7)])
class KeyEncoder(nn.Module):
    """Backbone, an optional fusion that brings keys to a finer stride, key projection and context.

    STCN (Cheng et al., 2021): ResNet-50, keys (3x3, 64 channels) and context (3x3, 512 channels) from stride 16.

    Args:
        backbone: config (kind ``backbone``).
        fusion: config (kind ``layer``) of what makes ``base`` of the pyramid; the last level if None.
        key_channels: Ck.
        context_channels: Cc; None uses ``base`` itself as context.
        anisotropic: also predict shrinkage d^2 + 1 and selection (sigmoid) with 3x3 convolutions, as XMem (Cheng and
            Schwing, 2022) does.

    Attributes:
        stride, key_channels, context_channels, base_channels: of the output.
        levels: name -> level of the pyramid.
    """

    def __init__(self, backbone: dict, fusion: dict | None = None, key_channels: int = 64,
                 context_channels: int | None = 512, anisotropic: bool = False):
        super().__init__()
        self.backbone = BACKBONES.build(backbone)
        self.levels = self.backbone.levels
        self.fusion = LAYERS.build(fusion or dict(type="LastStage"), in_levels=self.levels)
        self.stride = self.fusion.stride
        self.base_channels = self.fusion.out_channels
        self.key_channels = key_channels
        self.key_proj = nn.Conv2d(self.base_channels, key_channels, 3, padding=1)
        nn.init.orthogonal_(self.key_proj.weight)
        nn.init.zeros_(self.key_proj.bias)
        self.context_proj = None
        if context_channels is not None:
            self.context_proj = nn.Conv2d(self.base_channels, context_channels, 3, padding=1)
        self.context_channels = context_channels or self.base_channels
        self.anisotropic = anisotropic
        if anisotropic:
            self.shrinkage_proj = nn.Conv2d(self.base_channels, 1, 3, padding=1)
            self.selection_proj = nn.Conv2d(self.base_channels, key_channels, 3, padding=1)

    def forward(self, frame: Tensor) -> FrameFeatures:
        """Encode (B, 3, H, W)."""
        return self.deep(self.shallow(frame))

    def shallow(self, frame: Tensor) -> FrameFeatures:
        """The pyramid of (B, 3, H, W) up to ``c3``; the rest waits for :meth:`deep`."""
        return FrameFeatures(frame=frame, pyramid=self.backbone(frame, upto=SHALLOW))

    def deep(self, features: FrameFeatures) -> FrameFeatures:
        """Complete ``features`` in place; asking again costs nothing."""
        if features.key is not None:
            return features
        features.pyramid = self.backbone.extend(features.pyramid)
        features.base = base = self.fusion(features.pyramid)
        features.context = base if self.context_proj is None else self.context_proj(base)
        features.key = self.key_proj(base)
        if self.anisotropic:
            features.shrinkage = self.shrinkage_proj(base).square() + 1
            features.selection = self.selection_proj(base).sigmoid()
        return features
