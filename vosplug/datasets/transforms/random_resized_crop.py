"""A random crop, resized."""

import math

import numpy as np

from ...registry import TRANSFORMS
from ...utils.errors import ConfigError
from .clip import Clip
from .geometry import scaling, translation
from .resize import as_size


@TRANSFORMS.register_module()
class RandomResizedCrop:
    """Crop a random part and resize it.

    Args:
        size: (H, W) of the result, or one number for a square.
        scale: range of the crop's share of the area; STCN: 0.36 to 1 (0.25 to 1 for its rendered data set).
        ratio: range of the crop's width / height, uniform in the logarithm.
        keep_object: try again (``tries`` times) until the crop of the first frame shows a pixel of an object; then the
            last crop is taken as it is.
        tries: how many crops are drawn at most, for a crop that fits, and for ``keep_object``.
        per_frame: draw for each frame on its own (True; not with ``keep_object``) or once for the clip (False).
    """

    def __init__(self, size: int | tuple[int, int] = 384, scale: tuple[float, float] = (0.36, 1.0),
                 ratio: tuple[float, float] = (3 / 4, 4 / 3), keep_object: bool = False, tries: int = 10,
                 per_frame: bool = False):
        if not 0 < scale[0] <= scale[1] <= 1:
            raise ConfigError(f"RandomResizedCrop needs 0 < scale[0] <= scale[1] <= 1, got {scale}")
        if not 0 < ratio[0] <= ratio[1]:
            raise ConfigError(f"RandomResizedCrop needs 0 < ratio[0] <= ratio[1], got {ratio}")
        if tries < 1:
            raise ConfigError(f"RandomResizedCrop needs tries >= 1, got {tries}")
        if per_frame and keep_object:
            raise ConfigError("RandomResizedCrop takes per_frame or keep_object, not both")
        self.size, self.per_frame = as_size(size), per_frame
        self.scale, self.ratio, self.keep_object, self.tries = scale, ratio, keep_object, tries

    def __call__(self, clip: Clip, rng: np.random.Generator) -> Clip:
        count = len(clip) if self.per_frame else 1
        matrices = [self._matrix(clip, rng) for _ in range(count)]
        return clip.warp(matrices * (len(clip) // count), self.size)

    def _matrix(self, clip: Clip, rng: np.random.Generator) -> np.ndarray:
        labels = clip.labels[0] if self.keep_object else None
        for _ in range(self.tries if self.keep_object else 1):
            top, left, height, width = self._box(clip.size, rng)
            if labels is not None:
                part = labels[top:top + height, left:left + width]
                if ((part > 0) & (part < 255)).any():
                    break
        return translation(left, top) @ scaling(width / self.size[1], height / self.size[0])

    def _box(self, size: tuple[int, int], rng: np.random.Generator) -> tuple[int, int, int, int]:
        area = size[0] * size[1]
        for _ in range(self.tries):
            target = area * rng.uniform(*self.scale)
            ratio = math.exp(rng.uniform(math.log(self.ratio[0]), math.log(self.ratio[1])))
            width, height = round(math.sqrt(target * ratio)), round(math.sqrt(target / ratio))
            if 0 < width <= size[1] and 0 < height <= size[0]:
                return (int(rng.integers(size[0] - height + 1)), int(rng.integers(size[1] - width + 1)), height, width)
        return self._central_box(size)

    def _central_box(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        ratio = min(max(size[1] / size[0], self.ratio[0]), self.ratio[1])
        height = min(size[0], max(1, round(size[1] / ratio)))
        width = min(size[1], max(1, round(size[0] * ratio)))
        return (size[0] - height) // 2, (size[1] - width) // 2, height, width
