"""TTVOS's long-term template attention."""

import torch
from torch import Tensor

from ...registry import MATCHING_HEADS
from .template import TemplateHead

PLACES = 3  # row, column, radius


@MATCHING_HEADS.register_module(role="template attention", examples=[dict(), dict(channels=4)])
class TemplateAttention(TemplateHead):
    """A template per object that is learnt anew from every frame, against the present one.

    TTVOS (Park, Venkatesh, Kwak, arXiv:2011.04445). Both sides see the feature, where each cell lies, and the last
    masks. The paper's decoder says how much of a new template replaces the old one.

    Args:
        feature_channels: of the feature at stride 8; given by the segmentor.
        mask_channels: of the masks at stride 8; given by the segmentor.
        channels: of keys, values and what is put out, a multiple of 4; those of the feature if None.

    Attributes:
        out_channels: of what is put out.
    """

    def __init__(self, feature_channels: int, mask_channels: int, channels: int | None = None):
        channels = channels or feature_channels
        super().__init__(feature_channels + PLACES + mask_channels, channels, channels, channels,
                         activates_between=False)

    def template(self, feature: Tensor, masks: Tensor) -> Tensor:
        """Template (R, Cv, Ck) of a feature (R, C, h, w) and masks (R, mask_channels, h, w)."""
        return self.make(joined(feature, masks))

    def forward(self, feature: Tensor, masks: Tensor, template: Tensor) -> Tensor:
        """What (R, C, h, w) and (R, mask_channels, h, w) have of a template (R, Cv, Ck): (R, out_channels, h, w)."""
        return self.read(joined(feature, masks), template)


def joined(feature: Tensor, masks: Tensor) -> Tensor:
    """Feature (R, C, h, w), places of the cells, masks (R, M, h, w), side by side."""
    places = places_of(tuple(feature.shape[-2:]), feature)
    return torch.cat([feature, places.expand(len(feature), *places.shape), masks.to(feature)], dim=1)


def places_of(size: tuple[int, int], like: Tensor) -> Tensor:
    """Row and column of each cell from -1 to 1, and the distance from the centre, (3, h, w)."""
    row, column = (torch.linspace(-1, 1, side, device=like.device, dtype=like.dtype) for side in size)
    row, column = row[:, None].expand(size), column[None].expand(size)
    return torch.stack([row, column, (row.square() + column.square()).sqrt()])
