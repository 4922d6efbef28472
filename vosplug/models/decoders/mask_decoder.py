"""Decoder of STM, STCN and XMem: from a read-out to a mask logit per object."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...registry import DECODERS, LAYERS
from ...structures import Level, Rows
from ...utils.errors import ConfigError
from ..encoders.key_encoder import FrameFeatures
from ..layers.residual import PreActBlock


class UpsampleBlock(nn.Module):
    """Add a skip connection to the upsampled coarse feature, then a residual block.

    Args:
        skip_channels, channels, out_channels: of the skip feature, the coarse feature and the output.
        norm: of the residual block.
    """

    def __init__(self, skip_channels: int, channels: int, out_channels: int, norm: dict | None = None):
        super().__init__()
        self.skip_conv = nn.Conv2d(skip_channels, channels, 3, padding=1)
        self.out_conv = PreActBlock(channels, out_channels, norm=norm)

    def forward(self, skip: Tensor, x: Tensor, rows: Rows) -> Tensor:
        """(B, C_skip, 2h, 2w), (R, C, h, w) -> (R, C_out, 2h, 2w). The skip convolution is shared by the rows."""
        skip = self.skip_conv(skip)
        x = F.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=False).add_(rows.expand(skip))
        del skip  # it is as large as what the block needs
        return self.out_conv(x)


@DECODERS.register_module(examples=[
    dict(compress_channels=8, up_channels=(8, 8), **options)
    for options in (dict(), dict(previous_masks=True), dict(fuser=dict(type="CBAMFuser")))])
class MaskDecoder(nn.Module):
    """Compress [read-out, context], refine it with skip connections, predict one logit, upsample to the frame.

    STCN's sizes are the defaults: compress to 512, then 256 at stride 8 and 256 at stride 4.

    Args:
        value_channels, context_channels, levels, stride: of the inputs; given by the segmentor.
        compress_channels: output of the first block.
        up_channels: output of the blocks at each finer stride.
        previous_masks: the previous soft masks (own, sum of the others) are further input channels.
        norm: config of norms inside the residual blocks (a ``fuser`` has its own).
        fuser: config (kind ``layer``) of what joins read-out and context, as XMem does; a residual block if None. It
            has ``compress_channels`` outputs.
        output_bias: initial bias of the prediction layer; a negative one starts with empty masks.

    Attributes:
        skip_levels: names of the levels that the skip connections come from, coarsest first.
        scale_channels: channels of the refined feature at each stride, coarsest first.
    """

    def __init__(self, value_channels: int, context_channels: int, levels: Mapping[str, Level], stride: int,
                 compress_channels: int = 512, up_channels: Sequence[int] = (256, 256), previous_masks: bool = False,
                 norm: dict | None = None, output_bias: float = 0.0, fuser: dict | None = None):
        super().__init__()
        self.uses_previous_masks = previous_masks
        extra = 2 if previous_masks else 0
        self.fuses = fuser is not None
        if self.fuses:
            self.compress = LAYERS.build(fuser, value_channels=value_channels + extra, base_channels=context_channels,
                                         channels=compress_channels)
        else:
            self.compress = PreActBlock(value_channels + context_channels + extra, compress_channels, norm=norm)
        self.skip_levels = finer_levels(levels, stride, len(up_channels))
        channels = [compress_channels, *up_channels]
        self.scale_channels = channels
        self.ups = nn.ModuleList(
            UpsampleBlock(levels[name].channels, c_in, c_out, norm=norm)
            for name, c_in, c_out in zip(self.skip_levels, channels[:-1], channels[1:], strict=True))
        self.pred = nn.Conv2d(channels[-1], 1, 3, padding=1)
        if output_bias:
            nn.init.constant_(self.pred.bias, output_bias)

    def coarse(self, readout: Tensor, features: FrameFeatures, rows: Rows, previous: Tensor | None = None) -> Tensor:
        """What comes before the skip connections.

        Args:
            readout: (R, Cv, h, w).
            features: of the frame.
            rows: the R rows.
            previous: (B, O, H, W) soft masks of the previous frame; only with ``previous_masks``.

        Returns:
            (R, compress_channels, h, w).
        """
        context = rows.expand(features.context)
        planes = [self.previous_planes(previous, rows, readout)] if self.uses_previous_masks else []
        if self.fuses:
            return self.compress(torch.cat([readout, *planes], dim=1), context)
        return self.compress(torch.cat([readout, context, *planes], dim=1))

    def fine(self, coarse: Tensor, features: FrameFeatures, rows: Rows, size: tuple[int, int],
             return_scales: bool = False) -> Tensor | tuple[Tensor, list[Tensor]]:
        """Skip connections, prediction, upsampling; of ``features`` only the finer levels of the pyramid are read.

        Args:
            coarse: (R, compress_channels, h, w) of :meth:`coarse`.
            features: of the frame.
            rows: the R rows.
            size: (H, W) of the logits.
            return_scales: also return the refined features, coarsest first, and the logits at the finest stride.

        Returns:
            (R, 1, H, W) logits.
        """
        scales = [coarse]
        for name, up in zip(self.skip_levels, self.ups, strict=True):
            scales.append(up(features.pyramid[name], scales[-1], rows))
        logits = self.pred(F.relu(scales[-1]))
        masks = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
        return (masks, [*scales, logits]) if return_scales else masks

    @staticmethod
    def previous_planes(previous: Tensor, rows: Rows, like: Tensor) -> Tensor:
        """(R, 2, h, w): own previous mask and the sum of the others', averaged to the stride of the read-out."""
        small = F.interpolate(previous, size=like.shape[-2:], mode="area").to(like.dtype)
        planes = torch.stack([small, small.sum(dim=1, keepdim=True) - small], dim=2)
        return rows.gather(planes)


def finer_levels(levels: Mapping[str, Level], stride: int, steps: int) -> list[str]:
    """Names of the levels at half of ``stride``, a quarter, ...; where levels share a stride, the last of them.

    Raises:
        ConfigError: a stride has no level.
    """
    by_stride = {level.stride: name for name, level in levels.items()}
    strides = [stride >> (i + 1) for i in range(steps)]
    lacking = [s for s in strides if s not in by_stride]
    if lacking:
        raise ConfigError(f"MaskDecoder.up_channels has {steps} steps from stride {stride}, but the backbone has no "
                          f"level of stride {lacking[0]} (it has {sorted(by_stride)})")
    return [by_stride[s] for s in strides]
