"""Mirroring."""

import numpy as np

from ...registry import TRANSFORMS
from ...utils.errors import ConfigError
from .clip import Clip

DIRECTIONS = ("horizontal", "vertical")


@TRANSFORMS.register_module()
class RandomFlip:
    """Mirror all frames of a clip together.

    Args:
        probability: how often.
        direction: ``horizontal`` (left to right) or ``vertical``.
    """

    def __init__(self, probability: float = 0.5, direction: str = "horizontal"):
        if not 0 <= probability <= 1:
            raise ConfigError(f"RandomFlip needs a probability in [0, 1], got {probability}")
        if direction not in DIRECTIONS:
            raise ConfigError(f"RandomFlip knows the directions {', '.join(DIRECTIONS)}, got {direction!r}")
        self.probability, self.direction = probability, direction

    def __call__(self, clip: Clip, rng: np.random.Generator) -> Clip:
        if rng.random() >= self.probability:
            return clip
        matrix, axis = np.eye(3), DIRECTIONS.index(self.direction)
        matrix[axis, axis] = -1.0
        matrix[axis, 2] = clip.size[1 - axis]
        return clip.warp([matrix] * len(clip), clip.size)
