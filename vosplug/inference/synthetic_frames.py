"""Frames without a file: textured discs that wander over a textured background, for measuring."""

import cv2
import numpy as np

from ..utils.errors import InputError


class WanderingDiscs:
    """A video of any length and size, made frame by frame.

    Args:
        frames: number of frames.
        size: (H, W).
        objects: number of discs.
        seed: of textures and paths.
    """

    def __init__(self, frames: int, size: tuple[int, int], objects: int = 1, seed: int = 0):
        if min(size) < 16:
            raise InputError(f"frames must have at least 16 x 16 pixels, got {size[0]} x {size[1]}")
        rng = np.random.default_rng(seed)
        self.frames, self.size, self.objects = frames, tuple(size), objects
        self.background = texture(rng, self.size)
        self.textures = [texture(rng, self.size) for _ in range(objects)]
        self.radius = max(2, round(min(size) / (4 * max(1, objects) ** 0.5)))
        self.phases = rng.uniform(0, 2 * np.pi, (objects, 2))
        self.speeds = rng.uniform(0.02, 0.06, (objects, 2))

    def __len__(self) -> int:
        return self.frames

    def __iter__(self):
        for index in range(self.frames):
            yield self.image(index)

    def labels(self, index: int) -> np.ndarray:
        """(H, W) uint8 labels of a frame; later objects lie on top."""
        labels = np.zeros(self.size, np.uint8)
        for value in range(self.objects):
            cv2.circle(labels, self._centre(value, index), self.radius, value + 1, -1)
        return labels

    def image(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""
        labels = self.labels(index)
        image = np.roll(self.background, index, axis=1)
        for value, pixels in enumerate(self.textures):
            cv2.copyTo(pixels, (labels == value + 1).astype(np.uint8), image)
        return image

    def _centre(self, value: int, index: int) -> tuple[int, int]:
        where = 0.5 + 0.4 * np.sin(self.phases[value] + self.speeds[value] * index)
        return int(where[0] * (self.size[1] - 1)), int(where[1] * (self.size[0] - 1))


def texture(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8 of smooth random colours."""
    coarse = rng.integers(0, 256, (max(2, size[0] // 8), max(2, size[1] // 8), 3), dtype=np.uint8)
    return cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)
