"""Resizing instead of padding, as in AOT, DeAOT and CFBI."""

import cv2
import numpy as np

from ...registry import PREPROCESSORS
from ...structures import Geometry
from ...utils.errors import ConfigError, InputError
from .base import IMAGENET_MEAN, IMAGENET_STD, BasePreprocessor


@PREPROCESSORS.register_module(examples=[dict(), dict(divisor=8, align_corners=False)])
class ResizingPreprocessor(BasePreprocessor):
    """Resize both sides to k * ``divisor`` + 1 (k at least 1) and normalise; nothing is padded.

    With such sides and aligned corners, every cell of a coarser map lies on a pixel of the frame. Frames are resized
    bicubically as floating numbers, not clipped; masks by the nearest neighbour; logits of any resolution are
    interpolated straight to native size. The ratio of the sides changes a little.

    Args:
        mean, std, non_blocking: see :class:`BasePreprocessor`.
        divisor: the coarsest stride of the network.
        align_corners: sides are k * ``divisor`` + 1 and corners are aligned when logits are interpolated; without,
            sides are k * ``divisor``.
    """

    def __init__(self, mean: tuple = IMAGENET_MEAN, std: tuple = IMAGENET_STD, divisor: int = 16,
                 align_corners: bool = True, non_blocking: bool = False):
        super().__init__(mean=mean, std=std, non_blocking=non_blocking)
        if isinstance(divisor, bool) or not isinstance(divisor, int) or divisor < 1:
            raise ConfigError(f"divisor of ResizingPreprocessor must be a whole number of at least 1, got {divisor!r}")
        self.divisor, self.align_corners = divisor, bool(align_corners)

    def geometry(self, native: tuple[int, int], *, scale: float = 1.0, max_short_side: int | None = None,
                 max_long_side: int | None = None) -> Geometry:
        """The short side is limited, then the long one; both are scaled and truncated, then rounded, half to even.

        Raises:
            InputError: a limit is below the least size that the network can see.
        """
        extra = int(self.align_corners)
        for name, limit in (("max_short_side", max_short_side), ("max_long_side", max_long_side)):
            if limit is not None and limit < self.divisor + extra:
                raise InputError(f"{name} must be at least {self.divisor + extra} pixels for this method, got {limit}")
        height, width = native
        for limit, side in ((max_short_side, min), (max_long_side, max)):
            if limit is not None:
                ratio = min(1.0, limit / side(height, width))
                height, width = ratio * height, ratio * width
        return Geometry(tuple(native), tuple(max(1, round((int(side * scale) - extra) / self.divisor)) * self.divisor
                                             + extra for side in (height, width)))

    def resize_image(self, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Resize (H, W, 3) bicubically; uint8 comes back as float32, with values below 0 and above 255."""
        pixels = image if image.dtype.kind == "f" else image.astype(np.float32)
        return cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_CUBIC)

    def nearest(self, length: int, wanted: int) -> np.ndarray:
        """Pixel i takes pixel floor(i * length / wanted)."""
        return np.arange(wanted) * length // wanted
