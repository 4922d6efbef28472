"""TTVOS's decoder: short-term matching at stride 16, then up to the size of the frame."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...registry import DECODERS
from ...structures import Rows

CLASSES = 2  # background and object
UPSAMPLED = 2  # channels of what goes up


@DECODERS.register_module(role="template", examples=[dict(), dict(channels=4)])
class TTVOSDecoder(nn.Module):
    """From features, last masks and what a template found to two logits of each object (TTVOS's refinement).

    :meth:`coarse` is the short-term matching: the previous frame's feature and masks against the present feature, at
    stride 16. :meth:`fine` goes on from stride 8.

    Args:
        levels: name -> (channels, stride) of the backbone; given by the segmentor.
        deep_level, low_level: names of the levels of stride 16 and 4; given by the segmentor.
        attended_channels: of what the template found; given by the segmentor.
        mask_channels: of the last masks at stride 8; given by the segmentor.
        channels: of all stages; those of ``low_level``, at most 128, if None.

    Attributes:
        out_channels: of :meth:`coarse`.
    """

    def __init__(self, levels: Mapping[str, Any], deep_level: str, low_level: str, attended_channels: int,
                 mask_channels: int, channels: int | None = None):
        super().__init__()
        deep, low = levels[deep_level].channels, levels[low_level].channels
        channels = channels or min(128, low)
        short, both = min(2 * channels, deep), channels + UPSAMPLED
        self.out_channels = channels
        self.short_term = nn.Conv2d(deep + mask_channels, short, 3, padding=1)
        self.blend16 = nn.Conv2d(deep + short, channels, 3, padding=1)
        self.reduce8 = nn.Conv2d(attended_channels, channels, 1)
        self.blend8 = nn.Conv2d(both, channels, 3, padding=1)
        self.reduce4 = nn.Conv2d(low, channels, 1)
        self.blend4 = nn.Conv2d(both, channels, 3, padding=1)
        self.share_in = nn.Conv2d(both, both // 2, 3, stride=2, padding=1)
        for conv in self.children():
            nn.init.kaiming_uniform_(conv.weight)
            nn.init.zeros_(conv.bias)
        self.share_out = nn.Conv2d(both // 2, 1, 1)
        self.up16, self.up16_twice = doubling(channels, UPSAMPLED), doubling(UPSAMPLED, UPSAMPLED)
        self.up8 = doubling(channels, UPSAMPLED)
        self.up4 = doubling(channels + 2 * UPSAMPLED, 4 * CLASSES)
        self.transition = nn.Conv2d(channels, CLASSES, 3, padding=1)
        self.template_mask = nn.Conv2d(attended_channels, 1, 3, padding=1)

    def coarse(self, deep: Tensor, masks: Tensor, previous: Tensor) -> Tensor:
        """Short-term matching.

        Args:
            deep: (R, C, h, w) feature at stride 16.
            masks: (R, mask_channels, 2h, 2w) last masks at stride 8.
            previous: (R, C, h, w) feature of the frame before.

        Returns:
            (R, out_channels, h, w).
        """
        matched = F.relu(self.short_term(torch.cat([halved(masks), previous], dim=1)))
        return F.relu(self.blend16(torch.cat([deep, matched], dim=1)))

    def fine(self, coarse: Tensor, attended: Tensor, low: Tensor, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
        """From stride 8 on.

        Args:
            coarse: (R, out_channels, h, w) of :meth:`coarse`.
            attended: (R, attended_channels, 2h, 2w) of the template.
            low: (B, C, 4h, 4w) feature of the frame at stride 4.
            rows: the R rows.

        Returns:
            Logits (R, 2, 16h, 16w) of background and object; what :meth:`share` needs, (R, out_channels + 2, 2h, 2w);
            what :attr:`transition` needs, (R, out_channels, 2h, 2w).
        """
        up16 = self.up16(coarse)
        joined = torch.cat([F.relu(self.reduce8(attended)), up16], dim=1)
        x8 = F.relu(self.blend8(joined))
        up8 = self.up8(x8)
        x4 = F.relu(self.blend4(torch.cat([rows.expand(F.relu(self.reduce4(low))), up8], dim=1)))
        x = self.up4(torch.cat([self.up16_twice(up16), up8, x4], dim=1))
        return F.pixel_shuffle(x, 2), joined, x8

    def share(self, joined: Tensor) -> Tensor:
        """How much a new template counts beside the old one, (R, 1, 1) in 0..1; ``joined`` is from :meth:`fine`."""
        x = F.relu(self.share_in(joined)).mean(dim=(2, 3), keepdim=True)
        return self.share_out(x).sigmoid().flatten(1)[..., None]


def doubling(in_channels: int, out_channels: int) -> nn.ConvTranspose2d:
    """(R, C, h, w) -> (R, C', 2h, 2w)."""
    return nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1)


def halved(masks: Tensor, times: int = 1) -> Tensor:
    """Masks (R, C, h, w) at half their size, ``times`` times: means of 3x3 cells, zero outside of the frame."""
    for _ in range(times):
        masks = F.avg_pool2d(masks, 3, stride=2, padding=1)
    return masks
