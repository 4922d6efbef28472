"""Normalisation and padding to a multiple, as in STCN and XMem."""

import numpy as np

from ...registry import PREPROCESSORS
from ...structures import Geometry
from ...utils.images import resize_image
from ...utils.masks import nearest_exact
from .base import IMAGENET_MEAN, IMAGENET_STD, BasePreprocessor


@PREPROCESSORS.register_module(examples=[dict(), dict(divisor=8)])
class VOSPreprocessor(BasePreprocessor):
    """Scale to 0..1, normalise, and pad with zeros to a multiple of ``divisor``.

    Padding comes after normalisation, is spread over both sides, the smaller half first, as in STCN and XMem. Frames
    are resized only if a limit or a scale says so: by area when they shrink, bilinearly when they grow.

    Args:
        mean, std, non_blocking: see :class:`BasePreprocessor`.
        divisor: both sides of the padded frame are multiples of this.
    """

    def __init__(self, mean: tuple = IMAGENET_MEAN, std: tuple = IMAGENET_STD, divisor: int = 16,
                 non_blocking: bool = False):
        super().__init__(mean=mean, std=std, non_blocking=non_blocking)
        self.divisor = divisor

    def geometry(self, native: tuple[int, int], *, scale: float = 1.0, max_short_side: int | None = None,
                 max_long_side: int | None = None) -> Geometry:
        """Sides are limited, scaled and rounded, then padded; see :meth:`BasePreprocessor.geometry`.

        A frame whose padded size would be its native size is not resized: the network has no less to do for it.
        """
        return self._of_ratio(native, scale * limiting_ratio(native, max_short_side, max_long_side))

    def resize_image(self, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """See :func:`~vosplug.utils.images.resize_image`."""
        return resize_image(image, size)

    def nearest(self, length: int, wanted: int) -> np.ndarray:
        """See :func:`~vosplug.utils.masks.nearest_exact`."""
        return nearest_exact(length, wanted)

    def padding(self, height: int, width: int) -> tuple[int, int, int, int]:
        """How many of ``height`` and ``width`` pixels that are to be added come to (left, right, top, bottom)."""
        return width // 2, width - width // 2, height // 2, height - height // 2

    def _of_ratio(self, native: tuple[int, int], ratio: float) -> Geometry:
        native = tuple(native)
        size = tuple(max(1, round(side * ratio)) for side in native)
        geometry = Geometry(native, size, self.padding(*(-side % self.divisor for side in size)))
        return Geometry(native, native) if geometry.network == native else geometry


def limiting_ratio(size: tuple[float, float], max_short_side: int | None, max_long_side: int | None) -> float:
    """The factor, at most 1, by which ``size`` (H, W) has to shrink to be within both limits."""
    ratio = 1.0
    if max_short_side is not None:
        ratio = min(ratio, max_short_side / min(size))
    if max_long_side is not None:
        ratio = min(ratio, max_long_side / max(size))
    return ratio
