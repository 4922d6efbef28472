"""Rendering of synthetic videos: frames with labels, one after the other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ...utils.errors import InputError
from .motion import compose, invert
from .options import SyntheticOptions
from .scene import Item, Scene
from .warping import blend, bounding_box, lattice_maps, remap

_TAG = 7003
_ATTEMPTS = 50
SMALLEST, LARGEST = 32, 4096


@dataclass(frozen=True)
class SyntheticClip:
    """A rendered clip.

    Attributes:
        frames: (T, H, W, 3) uint8 RGB.
        labels: (T, H, W) uint8; 0 background, ids from 1 in the order of appearance.
        categories: class name of each id that occurs.
    """

    frames: np.ndarray
    labels: np.ndarray
    categories: dict[int, str]


class SyntheticVideo:
    """One synthetic video, rendered frame by frame with constant memory.

    Args:
        seed: the video is a function of all arguments; >= 0.
        num_frames: length T >= 1.
        size: (H, W) of the picture, each in 32..4096.
        options: contents and difficulty.
        times: T increasing moments to render, in frames; by default 0, 1, 2, ... ``options.motion`` multiplies them.

    Attributes:
        categories: class name by object id; an id is added when the object enters.

    Raises:
        InputError: an argument is out of range.
    """

    def __init__(self, seed: int, num_frames: int, size: tuple[int, int], options: SyntheticOptions | None = None,
                 times: Sequence[float] | None = None):
        _check(seed, num_frames, size, times)
        self.options = options or SyntheticOptions()
        self.num_frames = num_frames
        self.size = (int(size[0]), int(size[1]))
        self.categories: dict[int, str] = {}
        self._seed = int(seed)
        self._times = times
        self._least = self.options.min_visible * self.size[0] * self.size[1]
        self._scene = self._find_scene()
        self._ids: dict[int, int] = {}

    def frames(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Render all frames in turn: (H, W, 3) uint8 RGB and (H, W) uint8 ids."""
        self._ids.clear()
        self.categories.clear()
        for index in range(self.num_frames):
            yield self._render(index)

    def _find_scene(self) -> Scene:
        span = self._time(self.num_frames - 1) - self._time(0)
        for attempt in range(_ATTEMPTS):
            scene = Scene(np.random.default_rng((_TAG, self._seed, attempt)), self.size, span, self.options)
            patches = self._patches(scene, self._time(0))
            if self._settle(scene, patches, {}):
                return scene
        raise InputError(f"no object of seed {self._seed} is visible at the start of a {self.size[0]} x {self.size[1]} "
                         "picture: lower min_visible or raise scale")

    def _time(self, index: int) -> float:
        return self.options.motion * float(index if self._times is None else self._times[index])

    def _render(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        t, scene = self._time(index), self._scene
        patches = self._patches(scene, t)
        for number in self._settle(scene, patches, self._ids):
            self._ids[number] = len(self._ids) + 1
            self.categories[self._ids[number]] = scene.items[number].category
        frame = scene.background(scene.view(t), t)
        for patch, box in patches.values():
            blend(frame, patch, box)
        table = np.zeros(256, np.uint8)
        for number, name in self._ids.items():
            table[number + 1] = name
        labels = table[self._paint(patches)]
        noise = np.random.default_rng((_TAG, self._seed, 1 << 20, index))
        return scene.photometry(frame, t, noise), labels

    def _patches(self, scene: Scene, t: float) -> dict[int, tuple]:
        view = scene.view(t)
        found = ((number, _warped(item, view, t, self.size)) for number, item in enumerate(scene.items))
        return {number: patch for number, patch in found if patch is not None}

    def _settle(self, scene: Scene, patches: dict[int, tuple], known: dict[int, int]) -> list[int]:
        """Remove from ``patches`` the objects that have not entered and would show too little; return the new ones.

        The least visible goes first, which can only uncover others.
        """
        new = [n for n in patches if scene.items[n].category is not None and n not in known]
        while new:
            areas = np.bincount(self._paint(patches).ravel(), minlength=256)
            least = min(new, key=lambda n: areas[n + 1])
            if areas[least + 1] >= self._least:
                break
            new.remove(least)
            del patches[least]
        return new

    def _paint(self, patches: dict[int, tuple]) -> np.ndarray:
        """Number of the nearest item plus one at each pixel, (H, W) uint8; 0 is the background."""
        canvas = np.zeros(self.size, np.uint8)
        for number, (patch, (x0, y0, x1, y1)) in patches.items():
            canvas[y0:y1, x0:x1][patch[..., 3] > 127] = number + 1
        return canvas


def generate_clip(seed: int, num_frames: int, size: tuple[int, int], options: SyntheticOptions | None = None,
                  times: Sequence[float] | None = None) -> SyntheticClip:
    """Render a short clip at once; arguments as in :class:`SyntheticVideo`."""
    video = SyntheticVideo(seed, num_frames, size, options, times)
    frames = np.empty((num_frames, *video.size, 3), np.uint8)
    labels = np.empty((num_frames, *video.size), np.uint8)
    for index, (frame, ids) in enumerate(video.frames()):
        frames[index], labels[index] = frame, ids
    return SyntheticClip(frames, labels, dict(video.categories))


def iter_video(seed: int, num_frames: int, size: tuple[int, int],
               options: SyntheticOptions | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (frame, labels) one at a time; arguments as in :class:`SyntheticVideo`, checked at the call."""
    return SyntheticVideo(seed, num_frames, size, options).frames()


def _warped(item: Item, view: np.ndarray, t: float, size: tuple[int, int]):
    """The item as it appears at time ``t``: (h, w, 4) uint8 and its box, or None if it is out of the picture."""
    matrix = compose(view, item.track(t))
    box = bounding_box(matrix, item.sprite.radius, item.margin, size)
    if box is None:
        return None
    maps = lattice_maps(invert(matrix), box, item.warp, t)
    patch = remap(item.sprite.picture, maps + np.float32(item.sprite.middle))
    return (patch, box) if cv2.hasNonZero(cv2.extractChannel(patch, 3)) else None


def _check(seed: int, num_frames: int, size, times) -> None:
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise InputError(f"the seed of a synthetic video must be a whole number >= 0, got {seed!r}")
    if not isinstance(num_frames, (int, np.integer)) or num_frames < 1:
        raise InputError(f"a synthetic video needs at least 1 frame, got {num_frames!r}")
    if len(size) != 2 or any(not SMALLEST <= side <= LARGEST for side in size):
        raise InputError(f"the size of a synthetic video must be (height, width), each in {SMALLEST}..{LARGEST}, "
                         f"got {tuple(size)}")
    if times is not None and (len(times) != num_frames or any(b < a for a, b in zip(times, times[1:], strict=False))):
        raise InputError(f"times must be {num_frames} increasing numbers, got {times}")
