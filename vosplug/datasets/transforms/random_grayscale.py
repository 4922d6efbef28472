"""Removing colour."""

import cv2
import numpy as np

from ...registry import TRANSFORMS
from ...utils.errors import ConfigError
from .clip import Clip


@TRANSFORMS.register_module()
class RandomGrayscale:
    """Make frames grey.

    Args:
        probability: how often (STCN: 0.05; DeAOT: 0.2 per frame).
        per_frame: draw for each frame on its own (True) or once for the clip (False).
    """

    def __init__(self, probability: float = 0.05, per_frame: bool = False):
        if not 0 <= probability <= 1:
            raise ConfigError(f"RandomGrayscale needs a probability in [0, 1], got {probability}")
        self.probability, self.per_frame = probability, per_frame

    def __call__(self, clip: Clip, rng: np.random.Generator) -> Clip:
        draws = rng.random(len(clip) if self.per_frame else 1) < self.probability
        if draws.any():
            chosen = np.broadcast_to(draws, len(clip))
            clip.images = [_grey(image) if grey else image for image, grey in zip(clip.images, chosen, strict=True)]
        return clip


def _grey(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
