"""Blur."""

import cv2
import numpy as np

from ...registry import TRANSFORMS
from ...utils.errors import ConfigError
from .clip import Clip


@TRANSFORMS.register_module()
class GaussianBlur:
    """Blur frames with a Gaussian of random width, each frame on its own.

    Args:
        sigma: range of the standard deviation in pixels, uniform.
        probability: how often a frame is blurred.
    """

    def __init__(self, sigma: tuple[float, float] = (0.1, 2.0), probability: float = 0.3):
        if not 0 < sigma[0] <= sigma[1]:
            raise ConfigError(f"GaussianBlur needs 0 < sigma[0] <= sigma[1], got {sigma}")
        if not 0 <= probability <= 1:
            raise ConfigError(f"GaussianBlur needs a probability in [0, 1], got {probability}")
        self.sigma, self.probability = tuple(sigma), probability

    def __call__(self, clip: Clip, rng: np.random.Generator) -> Clip:
        clip.images = [self._blur(image, rng) if rng.random() < self.probability else image for image in clip.images]
        return clip

    def _blur(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return cv2.GaussianBlur(image, (0, 0), rng.uniform(*self.sigma))
