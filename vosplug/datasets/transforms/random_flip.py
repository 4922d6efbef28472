"""Mirroring."""

import numpy as np

from ...registry import TRANSFORMS
from ...utils.errors import ConfigError
from .clip import Clip

DIRECTIONS = ("horizontal", "vertical")


@TRANSFORMS.register_module()
class RandomFlip:
    """Mirror frames.

    Args:
        probability: how often.
        direction: ``horizontal`` (left to right) or ``vertical``.
        per_frame: draw for each frame on its own (True) or once for the clip (False).
        keep_first: the first frame stays as it is.
    """

    def __init__(self, probability: float = 0.5, direction: str = "horizontal", per_frame: bool = False,
                 keep_first: bool = False):
        if not 0 <= probability <= 1:
            raise ConfigError(f"RandomFlip needs a probability in [0, 1], got {probability}")
        if direction not in DIRECTIONS:
            raise ConfigError(f"RandomFlip knows the directions {', '.join(DIRECTIONS)}, got {direction!r}")
        self.probability, self.direction = probability, direction
        self.per_frame, self.keep_first = per_frame, keep_first

    def __call__(self, clip: Clip, rng: np.random.Generator) -> Clip:
        draws = np.resize(rng.random(len(clip) if self.per_frame else 1) < self.probability, len(clip))
        if self.keep_first:
            draws[0] = False
        if not draws.any():
            return clip
        matrix, axis = np.eye(3), DIRECTIONS.index(self.direction)
        matrix[axis, axis] = -1.0
        matrix[axis, 2] = clip.size[1 - axis]
        return clip.warp([matrix if mirrored else np.eye(3) for mirrored in draws], clip.size)
