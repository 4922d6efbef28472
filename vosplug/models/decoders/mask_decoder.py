"""Decoder of STM, STCN and XMem: from a read-out to a mask logit per object."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...registry import DECODERS, LAYERS
from ...structures import Pairs
from ...utils.errors import ConfigError
from ..encoders.key_encoder import FrameFeatures
from ..layers.build import build_conv
from ..layers.residual import PreActBlock


class UpsampleBlock(nn.Module):
    """Add a skip connection to the upsampled coarse feature, then a residual block.

    Args:
        skip_channels, channels, out_channels: of the skip feature, the coarse feature and the output.
        conv, norm: of the residual block.
        outer_conv: config of the skip convolution and of the shortcut.
    """

    def __init__(self, skip_channels: int, channels: int, out_channels: int, conv: dict | None = None,
                 norm: dict | None = None, outer_conv: dict | None = None):
        super().__init__()
        self.skip_conv = build_conv(outer_conv, skip_channels, channels, 3, padding=1)
        self.skip_conv.per_frame = True  # shared by the objects: tells a sparse convolution whose rows its input has
        self.out_conv = PreActBlock(channels, out_channels, conv=conv, norm=norm, shortcut_conv=outer_conv)

    def forward(self, skip: Tensor, x: Tensor, pairs: Pairs) -> Tensor:
        """(B, C_skip, 2h, 2w), (P, C, h, w) -> (P, C_out, 2h, 2w). The skip convolution is shared by the objects."""
        skip = self.skip_conv(skip)
        x = F.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=False).add_(pairs.expand(skip))
        del skip  # it is as large as what the block needs
        return self.out_conv(x)


@DECODERS.register_module()
class MaskDecoder(nn.Module):
    """Compress [read-out, context], refine it with skip connections, predict one logit, upsample to the frame.

    STCN's sizes are the defaults: compress to 512, then 256 at stride 8 and 256 at stride 4.

    Args:
        value_channels, context_channels, pyramid_channels, stride: of the inputs; given by the segmentor.
        compress_channels: output of the first block.
        up_channels: output of the blocks at each finer stride.
        previous_masks: the previous soft masks (own, sum of the others) are further input channels.
        conv: config of the convolutions inside the residual blocks.
        norm: config of norms inside the residual blocks (a ``fuser`` has its own).
        fuser: config (kind ``layer``) of what joins read-out and context, as XMem does; a residual block if None. It
            has ``compress_channels`` outputs.
        output_bias: initial bias of the prediction layer; a negative one starts with empty masks.
        outer_conv: config of the skip convolutions, shortcuts and the prediction layer; dense if None.

    Attributes:
        scale_channels: channels of the refined feature at each stride, coarsest first.
    """

    def __init__(self, value_channels: int, context_channels: int, pyramid_channels: dict[int, int], stride: int,
                 compress_channels: int = 512, up_channels: Sequence[int] = (256, 256), previous_masks: bool = False,
                 conv: dict | None = None, norm: dict | None = None, output_bias: float = 0.0,
                 fuser: dict | None = None, outer_conv: dict | None = None):
        super().__init__()
        self.uses_previous_masks = previous_masks
        extra = 2 if previous_masks else 0
        self.fuses = fuser is not None
        if self.fuses:
            given = {} if conv is None else {"conv": conv}
            self.compress = LAYERS.build(fuser, value_channels=value_channels + extra, base_channels=context_channels,
                                         channels=compress_channels, **given)
        else:
            self.compress = PreActBlock(value_channels + context_channels + extra, compress_channels, conv=conv,
                                        norm=norm, shortcut_conv=outer_conv)
        self.skip_strides = [stride >> (i + 1) for i in range(len(up_channels))]
        lacking = [s for s in self.skip_strides if s not in pyramid_channels]
        if lacking:
            raise ConfigError(f"MaskDecoder.up_channels has {len(up_channels)} steps from stride {stride}, but the "
                              f"backbone has no feature of stride {lacking[0]} (it has {sorted(pyramid_channels)})")
        channels = [compress_channels, *up_channels]
        self.scale_channels = channels
        self.ups = nn.ModuleList(
            UpsampleBlock(pyramid_channels[s], c_in, c_out, conv=conv, norm=norm, outer_conv=outer_conv)
            for s, c_in, c_out in zip(self.skip_strides, channels[:-1], channels[1:], strict=True))
        self.pred = build_conv(outer_conv, channels[-1], 1, 3, padding=1)
        if output_bias:
            nn.init.constant_(self.pred.bias, output_bias)

    def forward(self, readout: Tensor, features: FrameFeatures, pairs: Pairs, size: tuple[int, int],
                previous: Tensor | None = None, return_scales: bool = False) -> Tensor | tuple[Tensor, list[Tensor]]:
        """Decode the existing pairs.

        Args:
            readout: (P, Cv, h, w).
            features: of the frame.
            size: (H, W) of the padded frame.
            previous: (B, O, H, W) soft masks of the previous frame; only with ``previous_masks``.
            return_scales: also return the refined features, coarsest first, and the logits at the finest stride.

        Returns:
            (P, H, W) logits.
        """
        context = pairs.expand(features.context)
        planes = [self.previous_planes(previous, pairs, readout)] if self.uses_previous_masks else []
        if self.fuses:
            x = self.compress(torch.cat([readout, *planes], dim=1), context)
        else:
            x = self.compress(torch.cat([readout, context, *planes], dim=1))
        scales = [x]
        for stride, up in zip(self.skip_strides, self.ups, strict=True):
            x = up(features.pyramid[stride], x, pairs)
            scales.append(x)
        logits = self.pred(F.relu(x))
        masks = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)[:, 0]
        return (masks, [*scales, logits]) if return_scales else masks

    @staticmethod
    def previous_planes(previous: Tensor, pairs: Pairs, like: Tensor) -> Tensor:
        """(P, 2, h, w): own previous mask and the sum of the others', averaged to the stride of the read-out."""
        small = F.interpolate(previous, size=like.shape[-2:], mode="area").to(like.dtype)
        planes = torch.stack([small, small.sum(dim=1, keepdim=True) - small], dim=2)
        return pairs.gather(planes)
