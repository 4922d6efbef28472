"""One track of a video in one of its frames."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco


@dataclass(frozen=True)
class TrackMask:
    """What a track shows in one frame.

    Attributes:
        id: of the track.
        label: class (from 0) with the highest mean score over the frames so far that have a mask.
        score: that mean.
        mask: compressed run lengths ``{"size": [H, W], "counts": str}``.
        category: name of the class, where names are known.
    """

    id: int
    label: int
    score: float
    mask: dict[str, Any]
    category: str = ""

    @property
    def pixels(self) -> np.ndarray:
        """The mask as (H, W) uint8, 0 or 1."""
        return coco.decode(self.mask)

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x, y, width, height of the mask in pixels."""
        return tuple(int(side) for side in coco.toBbox(self.mask))
