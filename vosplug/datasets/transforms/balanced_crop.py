"""A crop in which the first frame shows enough of an object."""

import numpy as np

from ...registry import TRANSFORMS
from ...utils.errors import ConfigError
from ...utils.masks import VOID
from .clip import Clip
from .geometry import translation
from .pad_or_crop import PadOrCrop


@TRANSFORMS.register_module()
class BalancedCrop:
    """Crop, or pad, all frames to ``size`` at a random place; drawn again until the first frame shows an object.

    Args:
        size: (H, W), or one number for a square (AOT: 465).
        min_pixels: an object is shown from this number of its pixels on (AOT: more than 100).
        tries: how many places are drawn at most; then the last one is taken.
    """

    def __init__(self, size: int | tuple[int, int], min_pixels: int = 101, tries: int = 5):
        if tries < 1 or min_pixels < 1:
            raise ConfigError(f"BalancedCrop needs tries and min_pixels >= 1, got {tries} and {min_pixels}")
        self.window = PadOrCrop(size)
        self.min_pixels, self.tries = min_pixels, tries

    def __call__(self, clip: Clip, rng: np.random.Generator) -> Clip:
        labels = clip.labels[0]
        for _ in range(self.tries):
            top, left = self.window.place(clip.size, rng)
            height, width = self.window.size
            seen = labels[max(0, top):max(0, top + height), max(0, left):max(0, left + width)]
            counts = np.bincount(seen.ravel(), minlength=256)
            if counts[1:VOID].max() >= self.min_pixels:
                break
        return clip.warp([translation(left, top)] * len(clip), self.window.size)
