"""Removing colour."""

import cv2
import numpy as np

from ...registry import TRANSFORMS
from ...utils.errors import ConfigError
from .clip import Clip


@TRANSFORMS.register_module()
class RandomGrayscale:
    """Make all frames of a clip grey with ``probability`` (STCN: 0.05)."""

    def __init__(self, probability: float = 0.05):
        if not 0 <= probability <= 1:
            raise ConfigError(f"RandomGrayscale needs a probability in [0, 1], got {probability}")
        self.probability = probability

    def __call__(self, clip: Clip, rng: np.random.Generator) -> Clip:
        if rng.random() < self.probability:
            greys = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in clip.images]
            clip.images = [cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB) for grey in greys]
        return clip
