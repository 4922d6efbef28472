"""Decoder of AOT and DeAOT: from propagated features to logits of identities."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...registry import DECODERS
from ...structures import Rows
from ...utils.errors import ConfigError
from ..frame_run import visible_run

DECODED = "decoded"  # feature: what the logits are made of, (B, C, H/4, W/4)


class ConvGN(nn.Module):
    """Convolution, GroupNorm with 8 groups, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
        self.norm = nn.GroupNorm(8, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(R, C, h, w) -> (R, C', h, w)."""
        return F.relu(self.norm(self.conv(x)))


@DECODERS.register_module(role="groups", examples=[
    dict(channels=16, context=context) for context in (True, False)])
class FPNDecoder(nn.Module):
    """Feature pyramid from the stride of the keys to stride 4, bilinear with aligned corners.

    Args:
        value_channels, context_channels, levels: of what is decoded, of the projected frame and of the backbone; given
            by the segmentor.
        outputs: number of logits; given by the segmentor.
        channels: at the coarsest stride; half of it at the finer ones.
        skips: levels that are added, coarsest first: at the stride of the keys, at 8 and at 4.
        context: the projected frame is decoded beside the propagated features (AOT), or not (DeAOT).

    Attributes:
        out_channels: of :meth:`coarse`.
        stride: of the logits.
    """

    def __init__(self, value_channels: int, context_channels: int, levels: Mapping, outputs: int = 11,
                 channels: int = 256, skips: Sequence[str] = ("c4", "c3", "c2"), context: bool = True):
        super().__init__()
        if len(skips) != 3 or any(name not in levels for name in skips):
            raise ConfigError(f"FPNDecoder.skips must be three levels of the backbone ({', '.join(levels)}), coarsest "
                              f"first, got {tuple(skips)}")
        self.context = context
        self.skips = tuple(skips)
        self.out_channels = channels
        self.stride = levels[skips[-1]].stride
        widths = (channels, channels // 2, channels // 2)
        inputs = (channels, channels, channels // 2)
        self.conv_in = ConvGN(value_channels + (context_channels if context else 0), channels, 1)
        self.adapters = nn.ModuleList(nn.Conv2d(levels[name].channels, width, 1)
                                      for name, width in zip(skips, inputs, strict=True))
        self.convs = nn.ModuleList(ConvGN(c_in, c_out, 3) for c_in, c_out in zip(inputs, widths, strict=True))
        self.conv_out = nn.Conv2d(widths[-1], outputs, 1)
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)

    def coarse(self, propagated: Tensor, context: Tensor, pyramid: Mapping[str, Tensor], rows: Rows) -> Tensor:
        """All that needs propagated features.

        Args:
            propagated: (R, value_channels, h, w).
            context: (B, context_channels, h, w) projected frame.
            pyramid: levels of the frame, (B, C, ..).

        Returns:
            (R, channels, h, w).
        """
        x = torch.cat([rows.expand(context), propagated], dim=1) if self.context else propagated
        return self._refine(0, self.conv_in(x), pyramid, rows)

    def fine(self, coarse: Tensor, pyramid: Mapping[str, Tensor], rows: Rows) -> Tensor:
        """(R, channels, h, w) -> logits (R, outputs, H/4, W/4)."""
        x = coarse
        for number in (1, 2):
            size = pyramid[self.skips[number]].shape[-2:]
            x = self._refine(number, F.interpolate(x, size=size, mode="bilinear", align_corners=True), pyramid, rows)
        run = visible_run()
        if run is not None:
            run.tap(DECODED, x)
        return self.conv_out(x)

    def _refine(self, number: int, x: Tensor, pyramid: Mapping[str, Tensor], rows: Rows) -> Tensor:
        return self.convs[number](rows.expand(self.adapters[number](pyramid[self.skips[number]])) + x)
