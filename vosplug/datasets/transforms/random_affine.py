"""Random rotation, shear, scale and shift."""

import numpy as np

from ...registry import TRANSFORMS
from ...utils.errors import ConfigError
from .clip import Clip
from .geometry import about_centre, rotation, scaling, shearing, translation


@TRANSFORMS.register_module()
class RandomAffine:
    """Rotate, shear and scale about the centre, and shift; the canvas keeps its size.

    The defaults are what STCN applies to each frame of a video clip on its own. For static images STCN uses
    ``degrees=20, scale=(0.9, 1.1), shear=10`` per frame, after ``degrees=0, shear=0, scale=(0.8, 1.5)`` for all frames.

    Args:
        degrees: angles are uniform in ``-degrees .. degrees``.
        shear: the same for the shear along x, in degrees.
        scale: range of the factor, uniform.
        per_frame: draw for each frame on its own (True) or once for the clip (False).
        shift: shifts along x and y are uniform in ``-shift .. shift`` of the width and the height.
        keep_first: the first frame stays as it is.
    """

    def __init__(self, degrees: float = 15, shear: float = 10, scale: tuple[float, float] = (1.0, 1.0),
                 per_frame: bool = True, shift: float = 0.0, keep_first: bool = False):
        if degrees < 0 or not 0 <= shear < 90:
            raise ConfigError(f"RandomAffine needs degrees >= 0 and shear in [0, 90), got {degrees} and {shear}")
        if not 0 < scale[0] <= scale[1]:
            raise ConfigError(f"RandomAffine needs 0 < scale[0] <= scale[1], got {scale}")
        if not 0 <= shift <= 1:
            raise ConfigError(f"RandomAffine needs shift in [0, 1], got {shift}")
        self.degrees, self.shear, self.scale, self.per_frame = degrees, shear, scale, per_frame
        self.shift, self.keep_first = shift, keep_first

    def __call__(self, clip: Clip, rng: np.random.Generator) -> Clip:
        draws = [self._matrix(clip.size, rng) for _ in range(len(clip) if self.per_frame else 1)]
        draws = draws if self.per_frame else draws * len(clip)
        return clip.warp([np.eye(3), *draws[1:]] if self.keep_first else draws, clip.size)

    def _matrix(self, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        angle = rng.uniform(-self.degrees, self.degrees)
        shear = rng.uniform(-self.shear, self.shear)
        scale = rng.uniform(*self.scale)
        forward = rotation(angle) @ shearing(shear) @ scaling(scale, scale)
        matrix = about_centre(np.linalg.inv(forward), size)
        if not self.shift:
            return matrix
        x, y = rng.uniform(-self.shift, self.shift, 2) * (size[1], size[0])
        return matrix @ translation(x, y)
