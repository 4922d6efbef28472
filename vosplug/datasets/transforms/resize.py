"""Resizing to a fixed size."""

import numpy as np

from ...registry import TRANSFORMS
from ...utils.errors import ConfigError
from .clip import Clip
from .geometry import scaling


def as_size(size: int | tuple[int, int]) -> tuple[int, int]:
    """(H, W) of ``size``, one number meaning a square; raise :class:`ConfigError` if a side is below 1."""
    pair = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if len(pair) != 2 or any(isinstance(s, bool) or not isinstance(s, int) or s < 1 for s in pair):
        raise ConfigError(f"a size must be one whole number or (height, width), each at least 1, got {size!r}")
    return pair


@TRANSFORMS.register_module()
class Resize:
    """Resize all frames.

    Args:
        size: (H, W), or one number: the length of the shorter side, the ratio is kept.
    """

    def __init__(self, size: int | tuple[int, int]):
        self.shorter = isinstance(size, int)
        self.size = as_size(size)

    def __call__(self, clip: Clip, rng: np.random.Generator) -> Clip:
        height, width = clip.size
        size = self.size
        if self.shorter:
            factor = size[0] / min(height, width)
            size = (max(1, round(height * factor)), max(1, round(width * factor)))
        return clip.warp([scaling(width / size[1], height / size[0])] * len(clip), size)
