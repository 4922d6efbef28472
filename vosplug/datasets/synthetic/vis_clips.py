"""Training clips of video instance segmentation that are made on the fly."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ...registry import DATASETS
from ...structures.vis_clip import VISClipSample
from ...utils.errors import ConfigError
from ..sampling import ClipRequest
from ..vis_clips import clip_frames, mask_boxes
from .cache import ByteCache
from .classes import CLASS_NAMES
from .clips import is_size
from .options import SyntheticOptions
from .replay import varied
from .video import SMALLEST, SyntheticClip, generate_clip

_TAG = 7006
TRIES = 5


@DATASETS.register_module()
class SyntheticVISClips:
    """Procedurally generated clips, or pairs of clips, with the classes and tracks of all objects.

    A drop-in for :class:`~vosplug.datasets.VISClips`: the same items, and the same choice of frames (equally spaced,
    the clips of a pair one after the other in the video and given in random order). An item is a pure function of its
    request and the arguments, whatever the process, the order of requests or the number of workers.

    Instances are found without a first mask, so a thing that looks like an object but is not annotated would contradict
    the labels: ``distractors`` and ``occluder`` are 0 unless given.

    Making frames costs more than a small model on them. ``replay`` of the items are therefore cut from a fixed pool of
    ``pool`` videos, each time with other frames, flips, colours and maybe reversed time; each process keeps the pool's
    videos in a cache as it meets them. What is in the cache changes the cost, never a value.

    Args:
        size: (H, W) of the clips, in pixels.
        length: number of clips in one epoch; each request draws a new clip, so this is only a unit.
        pairs: make pairs of clips.
        frames: length of the videos that clips are cut from.
        options: a dict of (or an instance of) :class:`SyntheticOptions`.
        replay: share of the items that come from the pool, 0..1.
        pool: number of videos in the pool.
        cache_mib: most memory for the cache of each process, in MiB; 0 turns it off.

    Attributes:
        classes: names of the categories; ``categories`` of a sample are indices into it, as for a synthetic data set on
            disk.

    Raises:
        ConfigError: an argument is out of range.
    """

    classes = CLASS_NAMES

    def __init__(self, size: tuple[int, int] = (96, 160), length: int = 100000, pairs: bool = False, frames: int = 16,
                 options: Mapping[str, Any] | SyntheticOptions | None = None, replay: float = 0.8, pool: int = 256,
                 cache_mib: float = 512):
        if not is_size(size):
            raise ConfigError(f"SyntheticVISClips needs size=(height, width) in whole pixels of at least {SMALLEST}, "
                              f"got {size}")
        for name, value in (("length", length), ("frames", frames), ("pool", pool)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"SyntheticVISClips: {name} must be a whole number of at least 1, got {value!r}")
        if not 0 <= replay <= 1 or cache_mib < 0:
            raise ConfigError(f"SyntheticVISClips needs replay in 0..1 and cache_mib >= 0, got {replay}, {cache_mib}")
        self.size = (size[0], size[1])
        self.pairs, self.frames, self.replay, self.pool = pairs, frames, replay, pool
        self.options = SyntheticOptions.make(options, distractors=(0, 0), occluder=0.0)
        self._length = length
        self._cache = ByteCache(int(cache_mib * 2 ** 20))

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, request: ClipRequest) -> dict:
        """Make a clip or a pair; see :class:`~vosplug.datasets.VISClips` for the form of an item."""
        rng = np.random.default_rng((_TAG, request.seed, request.index, request.length, request.max_skip))
        if rng.random() < self.replay:
            number = int(rng.integers(self.pool))
            name, (clip, places) = f"synthetic-pool-{number}", self._cut(self._pooled(number), rng, request)
        else:
            name, (clip, places) = f"synthetic-{request.seed}-{request.index}", self._new(rng, request)
        frames, labels = varied(clip, rng, self.options.min_visible * self.size[0] * self.size[1])
        places.sort(key=lambda place: not labels[place].any())  # the first clip shows an object
        ids = [i for i in sorted(clip.categories) if (labels == i).any()]
        inputs = [torch.from_numpy(np.ascontiguousarray(frames[place].transpose(0, 3, 1, 2))) for place in places]
        samples = [self._sample(labels, ids, clip.categories, place, name) for place in places]
        if self.pairs:
            return {"inputs": inputs, "data_samples": samples}
        return {"inputs": inputs[0], "data_samples": samples[0]}

    def _frames(self, rng: np.random.Generator, request: ClipRequest) -> list[list[int]]:
        return clip_frames(rng, self.frames, request.length, request.max_skip, 2 if self.pairs else 1)

    def _new(self, rng: np.random.Generator, request: ClipRequest) -> tuple[SyntheticClip, list[list[int]]]:
        """The frames of a new video that the clips take, and for each clip their places among them."""
        clips = self._frames(rng, request)
        times = sorted({*sum(clips, [])})
        return self._make(int(rng.integers(self.pool, 1 << 62)), times), _places(clips, times)

    def _cut(self, video: SyntheticClip, rng: np.random.Generator,
             request: ClipRequest) -> tuple[SyntheticClip, list[list[int]]]:
        """The same of a video of the pool."""
        for _ in range(TRIES):
            clips = self._frames(rng, request)
            times = sorted({*sum(clips, [])})
            if video.labels[times].any():
                break
        return SyntheticClip(video.frames[times], video.labels[times], video.categories), _places(clips, times)

    def _pooled(self, number: int) -> SyntheticClip:
        video = self._cache.get(number)
        if video is None:
            video = self._make(number, range(self.frames))
            self._cache.put(number, video, video.frames.nbytes + video.labels.nbytes)
        return video

    def _make(self, number: int, times: Sequence[int]) -> SyntheticClip:
        seed = int(np.random.default_rng((_TAG, number)).integers(1 << 62))
        return generate_clip(seed, len(times), self.size, self.options, list(times))

    def _sample(self, labels: np.ndarray, ids: list[int], names: Mapping[int, str], place: list[int],
                video: str) -> VISClipSample:
        masks = torch.from_numpy(labels[place][None] == np.array(ids, np.uint8)[:, None, None, None])
        boxes, present = mask_boxes(masks)
        categories = torch.tensor([self.classes.index(names[i]) for i in ids], dtype=torch.int64)
        return VISClipSample(masks=masks, boxes=boxes, present=present, categories=categories, ids=tuple(ids),
                             frame_indices=tuple(place), video=video)


def _places(clips: list[list[int]], times: list[int]) -> list[list[int]]:
    return [[times.index(t) for t in clip] for clip in clips]
