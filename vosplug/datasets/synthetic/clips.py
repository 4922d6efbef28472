"""Training clips that are made on the fly."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ...registry import DATASETS
from ...structures.clip import ClipSample
from ...utils.errors import ConfigError
from ...utils.masks import VOID
from ..sampling import ClipRequest
from .cache import ByteCache
from .options import SyntheticOptions
from .replay import varied
from .video import SMALLEST, SyntheticClip, generate_clip

_TAG = 7004
TRAINING_MOTION = 1.5


@DATASETS.register_module()
class SyntheticClips:
    """Procedurally generated training clips; a drop-in for a data set on disk.

    A clip is a pure function of its request and the arguments, whatever the process, the order of requests or the
    number of workers. Frames that follow each other are 1 to ``max_skip`` (of the request) frames apart, times
    ``options.motion``.

    Making a clip costs a few tens of milliseconds. ``replay`` of the clips are therefore variations (flips, reversed
    time, channel permutations, exposure) of a fixed pool of ``pool`` clips, which each process keeps in a cache as it
    meets them. What is in the cache changes the cost, never a value.

    Args:
        size: (H, W) of the clips, in pixels.
        length: number of clips in one epoch; each request draws a new clip, so this is only a unit.
        max_objects: at most this many objects are annotated; a random choice, the others are background.
        options: a dict of (or an instance of) :class:`SyntheticOptions`. ``motion`` is 1.5 unless given.
        replay: share of the clips that are variations of clips in the pool, 0..1.
        pool: number of clips in the pool.
        cache_mib: most memory for the cache of each process, in MiB; 0 turns it off.

    Raises:
        ConfigError: an argument is out of range.
    """

    def __init__(self, size: tuple[int, int] = (160, 160), length: int = 100000, max_objects: int = 3,
                 options: Mapping[str, Any] | SyntheticOptions | None = None, replay: float = 0.5, pool: int = 256,
                 cache_mib: float = 256):
        if not is_size(size):
            raise ConfigError(f"SyntheticClips needs size=(height, width) in whole pixels of at least {SMALLEST}, "
                              f"got {size}")
        for name, value in (("length", length), ("max_objects", max_objects), ("pool", pool)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"SyntheticClips: {name} must be a whole number of at least 1, got {value!r}")
        if not 0 <= replay <= 1 or cache_mib < 0:
            raise ConfigError(f"SyntheticClips needs replay in 0..1 and cache_mib >= 0, got {replay}, {cache_mib}")
        self.size = (size[0], size[1])
        self.max_objects = max_objects
        self.options = SyntheticOptions.make(options, motion=TRAINING_MOTION)
        self.replay = replay
        self.pool = pool
        self._length = length
        self._cache = ByteCache(int(cache_mib * 2 ** 20))

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, request: ClipRequest) -> dict:
        """Make a clip: ``inputs`` (T, 3, H, W) uint8 RGB and ``data_samples``, a :class:`ClipSample`."""
        rng = np.random.default_rng((_TAG, request.seed, request.index))
        if rng.random() < self.replay:
            base = int(rng.integers(self.pool))
            frames, labels = varied(self._pooled(base, request), rng, self._least)
            name = f"synthetic-pool-{base}"
        else:
            clip = self._make(int(rng.integers(1 << 62)), request)
            frames, labels = clip.frames, clip.labels
            name = f"synthetic-{request.seed}-{request.index}"
        slots, first_frames, ids = to_slots(labels, self._least, self.max_objects, rng)
        inputs = torch.from_numpy(np.ascontiguousarray(frames.transpose(0, 3, 1, 2)))
        names = tuple(f"{t:05d}" for t in range(len(frames)))
        sample = ClipSample(torch.from_numpy(slots), first_frames, ids, video=name, frame_names=names)
        return {"inputs": inputs, "data_samples": sample}

    @property
    def _least(self) -> float:
        return self.options.min_visible * self.size[0] * self.size[1]

    def _pooled(self, base: int, request: ClipRequest) -> SyntheticClip:
        key = (base, request.length, request.max_skip)
        clip = self._cache.get(key)
        if clip is None:
            clip = self._make(base, request)
            self._cache.put(key, clip, clip.frames.nbytes + clip.labels.nbytes)
        return clip

    def _make(self, seed: int, request: ClipRequest) -> SyntheticClip:
        rng = np.random.default_rng((_TAG, seed, request.length, request.max_skip))
        gaps = rng.integers(1, request.max_skip + 1, request.length - 1)
        times = [0, *np.cumsum(gaps).tolist()]
        return generate_clip(int(rng.integers(1 << 62)), request.length, self.size, self.options, times)


def to_slots(labels: np.ndarray, least: float, max_objects: int, rng: np.random.Generator):
    """Number the objects of a clip from 1 in the order in which they enter.

    An object enters in the first frame in which it covers ``least`` pixels; smaller pieces before that become void, and
    so does an object that never shows that much.

    Args:
        labels: (T, H, W) uint8 ids.
        least: pixels with which an object enters.
        max_objects: a random choice of so many objects is kept, at least one of them from the earliest frame in which
            any object enters; the others become background.
        rng: for that choice.

    Returns:
        Slots (T, H, W) uint8, the first frame of each slot, and the id of each slot.
    """
    counts = np.stack([np.bincount(frame.ravel(), minlength=256) for frame in labels])
    present = [i for i in range(1, VOID) if counts[:, i].any()]
    enters = {i: int(np.argmax(counts[:, i] >= least)) for i in present if (counts[:, i] >= least).any()}
    order = sorted(enters, key=lambda i: (enters[i], rng.random()))
    kept = [*order[:1], *(order[1 + k] for k in rng.permutation(len(order) - 1)[:max_objects - 1])] if order else []
    kept.sort(key=lambda i: (enters[i], i))
    table = np.zeros((len(labels), 256), np.uint8)
    table[:, VOID] = VOID
    for i in present:
        if i not in enters:
            table[:, i] = VOID
    for slot, i in enumerate(kept, 1):
        table[:enters[i], i] = VOID
        table[enters[i]:, i] = slot
    slots = np.stack([row[frame] for row, frame in zip(table, labels, strict=True)])
    return slots, tuple(enters[i] for i in kept), tuple(kept)


def is_size(size: Any) -> bool:
    """Whether ``size`` is (H, W) in whole pixels that a synthetic video can have."""
    return (isinstance(size, (tuple, list)) and len(size) == 2
            and all(isinstance(side, int) and side >= SMALLEST for side in size))
