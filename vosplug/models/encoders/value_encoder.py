"""Features of a frame together with the mask of an object: what the memory stores as values."""

import torch
from torch import Tensor, nn

from ...registry import BACKBONES, ENCODERS, LAYERS
from ...structures import Rows
from ..layers.cbam import CBAM
from ..layers.residual import PreActBlock


@LAYERS.register_module(role="fuser", examples=[dict(channels=32), dict(channels=32, image_first=True)])
class CBAMFuser(nn.Module):
    """Fusion of STCN: residual block, CBAM, residual block on [value feature, frame feature].

    Args:
        value_channels, base_channels: of the two inputs.
        channels: of the output.
        image_first: order the input [frame feature, value feature], as XMem does.
    """

    def __init__(self, value_channels: int, base_channels: int, channels: int = 512, image_first: bool = False):
        super().__init__()
        self.out_channels = channels
        self.image_first = image_first
        self.block1 = PreActBlock(value_channels + base_channels, channels)
        self.attention = CBAM(channels)
        self.block2 = PreActBlock(channels, channels)

    def forward(self, value: Tensor, base: Tensor) -> Tensor:
        """(P, Cv', h, w), (P, Cb, h, w) -> (P, channels, h, w)."""
        x = self.block1(torch.cat([base, value] if self.image_first else [value, base], dim=1))
        return self.block2(x + self.attention(x))


@LAYERS.register_module(role="fuser", examples=[dict(channels=32)])
class ResidualFuser(nn.Module):
    """One residual block on [value feature, frame feature].

    Args:
        value_channels, base_channels: of the two inputs.
        channels: of the output.
        norm: config of a norm inside the block.
    """

    def __init__(self, value_channels: int, base_channels: int, channels: int = 128, norm: dict | None = None):
        super().__init__()
        self.out_channels = channels
        self.block = PreActBlock(value_channels + base_channels, channels, norm=norm)

    def forward(self, value: Tensor, base: Tensor) -> Tensor:
        """(P, Cv', h, w), (P, Cb, h, w) -> (P, channels, h, w)."""
        return self.block(torch.cat([value, base], dim=1))


@ENCODERS.register_module(role="values", examples=lambda: [
    dict(backbone=BACKBONES.example("ResNet"), fuser=LAYERS.example("ResidualFuser"))])
class ValueEncoder(nn.Module):
    """Encode [image, own mask, sum of the other objects' masks] per object and fuse it with the frame's features.

    STCN: ResNet-18 (convolutions with biases) and :class:`CBAMFuser`.

    Args:
        backbone: config (kind ``backbone``) of a network with 5 input channels.
        fuser: config (kind ``layer``).
        base_channels: channels of ``FrameFeatures.base``; given by the segmentor.
        fusion: as in :class:`~.key_encoder.KeyEncoder`; its stride must be that of the keys.

    Attributes:
        out_channels: of the values.
        stride: of the values.
    """

    def __init__(self, backbone: dict, fuser: dict, base_channels: int, fusion: dict | None = None):
        super().__init__()
        self.backbone = BACKBONES.build(backbone, in_channels=5)
        self.fusion = LAYERS.build(fusion or dict(type="LastStage"), in_levels=self.backbone.levels)
        self.fuser = LAYERS.build(fuser, value_channels=self.fusion.out_channels, base_channels=base_channels)
        self.stride = self.fusion.stride
        self.out_channels = self.fuser.out_channels

    def forward(self, frame: Tensor, base: Tensor, masks: Tensor, rows: Rows) -> Tensor:
        """Encode the existing rows.

        Args:
            frame: (B, 3, H, W).
            base: (B, Cb, h, w) of the same frame.
            masks: (B, O, H, W) probabilities.

        Returns:
            (P, Cv, h, w).
        """
        masks = masks.to(frame.dtype)
        others = masks.sum(dim=1, keepdim=True) - masks
        planes = torch.stack([masks, others], dim=2)
        x = torch.cat([rows.expand(frame), rows.gather(planes)], dim=1)
        value = self.fusion(self.backbone(x))
        return self.fuser(value, rows.expand(base))
