"""One of the M interactions between tracklet queries and the video."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from ...registry import QUERY_ATTENTIONS, ROI_EXTRACTORS, TRACKLET_HEADS
from .boxes import apply_deltas


@dataclass
class InteractionOutput:
    """What an interaction says about N tracklets in T frames.

    Attributes:
        logits: (B, T, N, K) of the classes, each against background (sigmoid).
        boxes: (B, T, N, 4) in pixels, the renewed proposals.
        masks: (B, T, N, K, S, S) logits that fill the boxes, None where they were not asked for.
        queries: (B, T, N, C), renewed.
    """

    logits: Tensor
    boxes: Tensor
    masks: Tensor | None
    queries: Tensor


class QueryVideoInteraction(nn.Module):
    """Queries communicate, collect what the video shows inside their proposals, and are renewed (section 3.1).

    Args:
        channels: C.
        num_classes: K.
        strides: of the pyramid levels.
        attention: config (kind ``query attention``).
        head, mask_head: configs (kind ``tracklet head``).
        roi: options of the RoI extractor (kind ``RoI extractor``) but its size, which the heads know.
    """

    def __init__(self, channels: int, num_classes: int, strides: Sequence[int], attention: dict | None = None,
                 head: dict | None = None, mask_head: dict | None = None, roi: dict | None = None):
        super().__init__()
        common = dict(channels=channels, num_classes=num_classes)
        self.attention = QUERY_ATTENTIONS.build(attention or dict(type="FactorisedAttention"), channels=channels)
        self.head = TRACKLET_HEADS.build(head or dict(type="TrackletHead"), **common)
        self.mask_head = TRACKLET_HEADS.build(mask_head or dict(type="TrackletMaskHead"), **common)
        roi = roi or dict(type="PyramidRoIAlign")
        self.roi = ROI_EXTRACTORS.build(roi, strides=tuple(strides), size=self.head.size)
        self.mask_roi = ROI_EXTRACTORS.build(roi, strides=tuple(strides), size=self.mask_head.size)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Xavier initialisation of all matrices, as the ancestors; then what starts from known values."""
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        for module in self.modules():
            if module is not self and callable(getattr(module, "reset", None)):
                module.reset()

    def forward(self, features: Sequence[Tensor], queries: Tensor, boxes: Tensor, *,
                masks: bool = True) -> InteractionOutput:
        """Interact once.

        Args:
            features: pyramid levels (B * T, C, h, w).
            queries: (B, T, N, C).
            boxes: (B, T, N, 4) in pixels.
            masks: also predict masks.
        """
        queries = self.attention(queries)
        logits, deltas, renewed = self.head(queries, crop(self.roi, features, boxes))
        boxes = apply_deltas(boxes.float(), deltas.float())
        found = self.mask_head(queries, crop(self.mask_roi, features, boxes.detach())) if masks else None
        return InteractionOutput(logits=logits, boxes=boxes, masks=found, queries=renewed)


def crop(roi: nn.Module, features: Sequence[Tensor], boxes: Tensor) -> Tensor:
    """Crops (B, T, N, C, S, S) of boxes (B, T, N, 4)."""
    return roi(features, boxes.flatten(0, 1)).unflatten(0, boxes.shape[:2])
