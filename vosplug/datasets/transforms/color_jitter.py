"""Random brightness, contrast, saturation and hue."""

import cv2
import numpy as np

from ...registry import TRANSFORMS
from ...utils.errors import ConfigError
from .clip import Clip

GREY = np.array([0.299, 0.587, 0.114])
KINDS = ("brightness", "contrast", "saturation", "hue")


@TRANSFORMS.register_module()
class ColorJitter:
    """Change the colours in a random order, as torchvision's transform of that name does.

    Brightness, contrast and saturation are affine in the colour, so that they are composed and cost one pass; values
    are clipped once, after all of them. STCN for video clips: ``(0.1, 0.03, 0.03)`` for all frames, then
    ``(0.01, 0.01, 0.01)`` per frame; for static images ``(0.1, 0.05, 0.05, 0.05)``, then ``(0.1, 0.05, 0.05)`` per
    frame.

    Args:
        brightness, contrast, saturation: factors are uniform in ``1 - x .. 1 + x``.
        hue: shift of the hue, uniform in ``-x .. x`` of the colour circle, at most 0.5.
        per_frame: draw for each frame on its own (True) or once for the clip (False).
        probability: how often colours are changed, per draw (DeAOT: 0.8).
    """

    def __init__(self, brightness: float = 0.1, contrast: float = 0.03, saturation: float = 0.03, hue: float = 0.0,
                 per_frame: bool = False, probability: float = 1.0):
        self.ranges = dict(zip(KINDS, (brightness, contrast, saturation, hue), strict=True))
        for kind, value in self.ranges.items():
            limit = 0.5 if kind == "hue" else 1.0
            if not 0 <= value <= limit:
                raise ConfigError(f"ColorJitter needs {kind} in [0, {limit}], got {value}")
        if not 0 <= probability <= 1:
            raise ConfigError(f"ColorJitter needs a probability in [0, 1], got {probability}")
        self.per_frame, self.probability = per_frame, probability

    def __call__(self, clip: Clip, rng: np.random.Generator) -> Clip:
        draws = [self._draw(rng) for _ in range(len(clip) if self.per_frame else 1)]
        draws = draws if self.per_frame else draws * len(clip)
        clip.images = [jitter(image, changes) for image, changes in zip(clip.images, draws, strict=True)]
        return clip

    def _draw(self, rng: np.random.Generator) -> list[tuple[str, float]]:
        if self.probability < 1 and rng.random() >= self.probability:
            return []
        values = {kind: rng.uniform(-x, x) + (kind != "hue") for kind, x in self.ranges.items()}
        return [(KINDS[k], values[KINDS[k]]) for k in rng.permutation(len(KINDS))]


def jitter(image: np.ndarray, changes: list[tuple[str, float]]) -> np.ndarray:
    """Apply ``changes`` (kind, value) in order to (H, W, 3) uint8 RGB."""
    matrix, mean = np.eye(3, 4), None
    for kind, value in changes:
        if kind == "hue":
            if value:
                image = _shift_hue(_recolour(image, matrix), value)
                matrix, mean = np.eye(3, 4), None
        elif kind == "brightness":
            matrix = matrix * value
        elif kind == "saturation":
            matrix = (value * np.eye(3) + (1 - value) * GREY[None].repeat(3, 0)) @ matrix
        elif value != 1:
            mean = np.array([*cv2.mean(image)[:3], 1.0]) if mean is None else mean
            matrix = value * matrix + (1 - value) * float(GREY @ (matrix @ mean)) * np.array([0, 0, 0, 1.0])
    return _recolour(image, matrix)


def _recolour(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return image if np.array_equal(matrix, np.eye(3, 4)) else cv2.transform(image, matrix)


def _shift_hue(image: np.ndarray, shift: float) -> np.ndarray:
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    hsv[..., 0] += np.uint8(round(shift * 256) % 256)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)
