"""Moving backgrounds: one or two layers of texture under a camera that pans, shakes, turns and zooms."""

import numpy as np

from .motion import Warp, Wave, compose, invert
from .options import SyntheticOptions
from .sprites import recolour
from .textures import MASKS, SIZE, patch_mask, texture
from .warping import blend, lattice_maps, remap


class Layer:
    """An endless textured plane.

    Args:
        rng: source of the random numbers.
        size: (H, W) of the picture.
        options: strengths of camera, deformation and colours.
        pan: velocity of the camera in pixels per frame, (2,).
    """

    def __init__(self, rng: np.random.Generator, size: tuple[int, int], options: SyntheticOptions, pan: np.ndarray):
        side = min(size)
        self.texture = recolour(rng, texture(int(rng.integers(options.textures))), options.colour)
        angle, factor = rng.uniform(0, 2 * np.pi), max(0.6, side / 240) * rng.uniform(0.8, 2.2)
        self._linear = factor * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        self._start = rng.uniform(0, SIZE, 2) * factor
        self._pan = pan
        self._wander = Wave(rng, np.full(2, 0.3 * options.camera * side * rng.random()), (50, 300))
        amplitude = options.deform * 8.0 * rng.random() ** 2 / factor * side / 160
        self._warp = Warp(rng, amplitude, max(0.5 * side / factor, 6 * amplitude))

    def maps(self, view: np.ndarray, t: float, size: tuple[int, int]) -> np.ndarray:
        """Where each pixel of the picture lies in the texture at time ``t``, (H, W, 2) float32."""
        place = self._start + self._pan * t + self._wander(t)
        matrix = np.concatenate([self._linear, place[:, None]], 1)
        maps = lattice_maps(invert(compose(view, matrix)), (0, 0, size[1], size[0]), self._warp, t)
        # OpenCV keeps map coordinates in 16 bits, so a long pan has to be brought back to the first period.
        return maps - SIZE * np.floor(maps[0, 0] / SIZE)


class Background:
    """One layer, or two with different speeds of which the nearer one has holes."""

    def __init__(self, rng: np.random.Generator, size: tuple[int, int], options: SyntheticOptions):
        self._size = size
        pan = options.camera * rng.normal(0, 0.004, 2) * size[1] * np.array([1.0, 0.4])
        self._far = Layer(rng, size, options, pan * rng.uniform(0.4, 1.0))
        self._far_picture = self._far.texture
        self._near = None
        if rng.random() < 0.7:
            self._near = Layer(rng, size, options, pan * rng.uniform(1.0, 1.4))
            mask = patch_mask(int(rng.integers(MASKS)))
            self._near_picture = np.concatenate([self._near.texture, mask[..., None]], 2)

    def __call__(self, view: np.ndarray, t: float) -> np.ndarray:
        """The background at time ``t`` under the camera ``view``, (H, W, 3) uint8."""
        frame = remap(self._far_picture, self._far.maps(view, t, self._size), wrap=True)
        if self._near is not None:
            height, width = self._size
            patch = remap(self._near_picture, self._near.maps(view, t, self._size), wrap=True)
            blend(frame, patch, (0, 0, width, height))
        return frame
