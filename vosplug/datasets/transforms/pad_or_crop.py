"""Padding and cropping to a fixed size."""

import numpy as np

from ...registry import TRANSFORMS
from .clip import Clip
from .geometry import translation
from .resize import as_size


@TRANSFORMS.register_module()
class PadOrCrop:
    """Bring the canvas to ``size`` without scaling: a side that is too long is cropped, one that is too short padded.

    Args:
        size: (H, W), or one number for a square.
        random: put the window (or the picture, where it is padded) at a random place; else in the centre.
        per_frame: draw the place for each frame on its own.
    """

    def __init__(self, size: int | tuple[int, int], random: bool = True, per_frame: bool = False):
        self.size = as_size(size)
        self.random, self.per_frame = random, per_frame

    def __call__(self, clip: Clip, rng: np.random.Generator) -> Clip:
        draws = [self.place(clip.size, rng) for _ in range(len(clip) if self.per_frame else 1)]
        matrices = [translation(left, top) for top, left in draws]
        return clip.warp(matrices if self.per_frame else matrices * len(clip), self.size)

    def place(self, size: tuple[int, int], rng: np.random.Generator) -> tuple[int, int]:
        """Top and left of the window on a canvas of ``size`` (H, W); negative where the canvas is smaller."""
        return tuple(self._offset(have - want, rng) for have, want in zip(size, self.size, strict=True))

    def _offset(self, spare: int, rng: np.random.Generator) -> int:
        """Where the window starts; negative where the picture is smaller than the window."""
        if not self.random:
            return spare // 2
        return int(rng.integers(min(spare, 0), max(spare, 0) + 1))
