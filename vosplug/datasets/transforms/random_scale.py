"""Resizing to a random size."""

import numpy as np

from ...registry import TRANSFORMS
from ...utils.errors import ConfigError
from .clip import Clip
from .geometry import scaling


@TRANSFORMS.register_module()
class RandomScale:
    """Resize all frames of a clip to one short side, a base length times a random factor; the ratio is kept.

    Args:
        size: base length of the shorter side, in pixels (AOT: 480).
        scale: range of the factor, uniform.
    """

    def __init__(self, size: int = 480, scale: tuple[float, float] = (0.7, 1.3)):
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ConfigError(f"RandomScale.size must be a whole number of at least 1, got {size!r}")
        if not 0 < scale[0] <= scale[1]:
            raise ConfigError(f"RandomScale needs 0 < scale[0] <= scale[1], got {scale}")
        self.size, self.scale = size, tuple(scale)

    def __call__(self, clip: Clip, rng: np.random.Generator) -> Clip:
        height, width = clip.size
        factor = self.size * rng.uniform(*self.scale) / min(height, width)
        size = max(1, round(height * factor)), max(1, round(width * factor))
        return clip.warp([scaling(width / size[1], height / size[0])] * len(clip), size)
