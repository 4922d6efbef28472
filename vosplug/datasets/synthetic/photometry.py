"""What a camera does to the colours: exposure, contrast and gamma over time, focus, noise."""

from functools import lru_cache

import cv2
import numpy as np

from .motion import Wave
from .options import SyntheticOptions

_EXTRA = 48
_TAG = 7002


class Photometry:
    """Photometric changes of one video.

    Args:
        rng: source of the random numbers.
        options: strengths.
        size: (H, W) of the picture.
    """

    def __init__(self, rng: np.random.Generator, options: SyntheticOptions, size: tuple[int, int]):
        strength = options.photometric
        self._size = size
        self._slow = Wave(rng, strength * np.array([0.12, 14.0, 0.15]) * rng.random(3), (40, 300))
        self._jitter = strength * np.array([0.02, 2.0, 0.02])
        self._tint = np.exp(strength * rng.normal(0, 0.04, 3))
        self._noise = options.noise * rng.random() ** 1.5
        self._blur = rng.uniform(0.4, 1.1) * max(1.0, min(size) / 240) if rng.random() < options.blur else 0.0

    def __call__(self, frame: np.ndarray, t: float, rng: np.random.Generator) -> np.ndarray:
        """Apply to (H, W, 3) uint8 at time ``t``; ``rng`` belongs to this frame alone."""
        contrast, offset, gamma = self._slow(t) + self._jitter * rng.standard_normal(3)
        levels = 255 * (np.arange(256) / 255) ** np.exp(gamma)
        table = (levels[:, None] - 128) * np.exp(contrast) * self._tint + 128 + offset
        frame = cv2.LUT(frame, np.clip(np.rint(table), 0, 255).astype(np.uint8)[None])
        if self._blur:
            frame = cv2.GaussianBlur(frame, (0, 0), self._blur)
        if self._noise > 0.2:
            frame = self._noisy(frame, rng)
        return frame

    def _noisy(self, frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        y, x = rng.integers(0, _EXTRA + 1, 2)
        grain = _grain(self._size)[y:y + frame.shape[0], x:x + frame.shape[1]]
        if rng.random() < 0.5:
            grain = grain[:, ::-1]
        gain = self._noise / 32
        return cv2.addWeighted(frame, 1.0, grain, gain, -128 * gain)


@lru_cache(maxsize=4)
def _grain(size: tuple[int, int]) -> np.ndarray:
    """Noise of mean 128 and deviation 32, a little larger than the picture: frames take random windows of it."""
    rng = np.random.default_rng((_TAG, *size))
    grain = rng.standard_normal((size[0] + _EXTRA, size[1] + _EXTRA, 3), dtype=np.float32)
    return np.clip(np.rint(128 + 32 * grain), 0, 255).astype(np.uint8)
