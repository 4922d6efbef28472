"""Object-independent features of a frame."""

from dataclasses import dataclass

from torch import Tensor, nn

from ...registry import BACKBONES, ENCODERS, LAYERS
from ..layers.build import build_conv


@dataclass
class FrameFeatures:
    """What a key encoder says of a frame, before any object is considered.

    Attributes:
        key: (B, Ck, h, w), compared with the keys of the memory.
        context: (B, Cc, h, w), what the decoder gets beside the read-out.
        base: (B, Cb, h, w), the feature that keys are made of; the value encoder gets it too.
        pyramid: stride -> (B, C, H/stride, W/stride), for skip connections.
    """

    key: Tensor
    context: Tensor
    base: Tensor
    pyramid: dict[int, Tensor]


@ENCODERS.register_module()
class KeyEncoder(nn.Module):
    """Backbone, an optional fusion that brings keys to a finer stride, key projection and context.

    STCN (Cheng et al., 2021): ResNet-50, keys (3x3, 64 channels) and context (3x3, 512 channels) from stride 16.

    Args:
        backbone: config (kind ``backbone``).
        fusion: config (kind ``layer``) of what makes ``base`` of the pyramid; the last stage if None.
        key_channels: Ck.
        context_channels: Cc; None uses ``base`` itself as context.
        proj_conv: config (kind ``sparse convolution``) of the two projections; dense if None.

    Attributes:
        stride, key_channels, context_channels, base_channels, pyramid_channels: of the output.
    """

    def __init__(self, backbone: dict, fusion: dict | None = None, key_channels: int = 64,
                 context_channels: int | None = 512, proj_conv: dict | None = None):
        super().__init__()
        self.backbone = BACKBONES.build(backbone)
        self.pyramid_channels = self.backbone.out_channels
        self.fusion = LAYERS.build(fusion or dict(type="LastStage"), in_channels=self.pyramid_channels)
        self.stride = self.fusion.stride
        self.base_channels = self.fusion.out_channels
        self.key_channels = key_channels
        self.key_proj = build_conv(proj_conv, self.base_channels, key_channels, 3, padding=1)
        nn.init.orthogonal_(self.key_proj.weight)
        nn.init.zeros_(self.key_proj.bias)
        self.context_proj = None
        if context_channels is not None:
            self.context_proj = build_conv(proj_conv, self.base_channels, context_channels, 3, padding=1)
        self.context_channels = context_channels or self.base_channels

    def forward(self, frame: Tensor) -> FrameFeatures:
        """Encode (B, 3, H, W)."""
        pyramid = self.backbone(frame)
        base = self.fusion(pyramid)
        context = base if self.context_proj is None else self.context_proj(base)
        return FrameFeatures(key=self.key_proj(base), context=context, base=base, pyramid=pyramid)
