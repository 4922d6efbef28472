"""Training clips from videos."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..registry import DATASETS
from ..structures import Video
from ..utils.errors import ConfigError, DataError, InputError
from ..utils.masks import VOID
from .frame_reader import FrameReader
from .jump_rules import JUMP_RULES, STAY_FIRST
from .layout import check_choice
from .pipelines import VIDEO_PIPELINES, build_transforms
from .sampling import ClipRequest
from .slots import choose_slots, make_sample
from .transforms import Clip

OTHER_VIDEOS = 8


@DATASETS.register_module()
class VideoClips:
    """Random clips of the videos of a :class:`vosplug.structures.VideoDataset`; item ``i`` is a clip of video ``i``.

    The frames follow ``jump_rule``, backwards in half of the clips. One object of the first frame and up to
    ``max_objects - 1`` others become slots, the rest is background. If the first frame shows no object after the
    transforms, other frames are tried, then other videos.

    Args:
        videos: config of the video data set (or the object). Videos without reference masks (``has_reference``) and
            frames without a mask are left out.
        transforms: configs of clip transforms, or the name of a pipeline of :mod:`vosplug.datasets.pipelines`:
            ``stcn``, ``aot``, ``deaot`` or ``cfbi``.
        size: (H, W) of the clip, or one number for a square: of the pipeline (384 for ``stcn``, 465 for the others if
            not given), and checked after given transforms.
        max_objects: largest number of slots.
        skip_unit: how many frames lie between two annotated ones; ``max_skip`` of a request is divided by it. 5 for
            YouTube-VOS, so that a distance means the same time in all sets.
        jump_rule: ``stcn``; ``distinct`` (no frame twice), for clips that are long beside their videos; ``anywhere``:
            frames of the whole video in random order; ``aot``; ``neighbours``: frames that follow one another;
            ``cfbi``: a frame from anywhere, then as ``aot``.
        reverse: probability of reversed time; the frame from anywhere stays the first.
        retries: how many choices of frames are tried per video.
        late_objects: objects that appear after the first frame may be chosen too; they have ``first_frames > 0``.
        merge_objects: all objects of a video count as one, as in DAVIS 2016.
        min_pixels: an object counts as being in a frame from this number of pixels on.
        complete_first: frames are drawn again until the first one has all objects of the clip; in the last of the
            ``retries``, others are background.
        first_pixels: least number of object pixels in the first frame, before the transforms.
        cache_mib: decoded frames that each process keeps, in MiB.
        decode_reduction: 2, 4 or 8 decodes JPEG files at that part of their size (faster, not exact); masks stay exact.

    Raises:
        ConfigError: an option is out of range, or no video has two annotated frames.
        InputError: a request is out of range.
        DataError: a file is missing or wrong, or no video that was tried shows an object.
    """

    opens_masks = True

    def __init__(self, videos: Any, transforms: Sequence[Any] | str = "stcn",
                 size: int | tuple[int, int] | None = None, max_objects: int = 2, skip_unit: int = 1,
                 jump_rule: str = "stcn", reverse: float = 0.5, retries: int = 5, late_objects: bool = False,
                 merge_objects: bool = False, min_pixels: int = 1, complete_first: bool = False, first_pixels: int = 1,
                 cache_mib: float = 0, decode_reduction: int = 1):
        check_choice("jump rule", jump_rule, tuple(JUMP_RULES))
        for name, value in {"max_objects": max_objects, "skip_unit": skip_unit, "retries": retries,
                            "min_pixels": min_pixels, "first_pixels": first_pixels}.items():
            if value < 1:
                raise ConfigError(f"VideoClips needs {name} >= 1, got {value}")
        if not 0 <= reverse <= 1:
            raise ConfigError(f"VideoClips needs reverse in [0, 1], got {reverse}")
        dataset = DATASETS.build(videos) if isinstance(videos, dict) else videos
        # Masks that only prompt leave out the other objects: they are no labels.
        annotated = [_annotated(video) for video in dataset.videos() if video.has_reference]
        self._videos = [(video, frames) for video, frames in annotated if len(frames) > 1]
        if not self._videos:
            raise ConfigError(f"VideoClips: no video of {type(dataset).__name__} has two frames with complete masks "
                              "(has_reference)")
        self.size = (size, size) if isinstance(size, int) else size and tuple(size)
        self.transforms = build_transforms(transforms, VIDEO_PIPELINES, self.size)
        self.max_objects, self.skip_unit = max_objects, skip_unit
        self.choose_frames, self.stay_first = JUMP_RULES[jump_rule], STAY_FIRST.get(jump_rule, 0)
        self.reverse, self.retries = reverse, retries
        self.late_objects, self.merge_objects, self.min_pixels = late_objects, merge_objects, min_pixels
        self.complete_first, self.first_pixels = complete_first, first_pixels
        self._reader = FrameReader(cache_mib, decode_reduction)

    @property
    def label_free(self) -> bool:
        """Whether pictures and first labels of a clip are the same whatever the labels of later frames are."""
        return not (self.late_objects or self.complete_first)

    def __len__(self) -> int:
        return len(self._videos)

    def __getitem__(self, request: ClipRequest) -> dict:
        if request.index >= len(self):
            raise InputError(f"clip {request.index} is out of range: there are {len(self)} videos")
        rng, number = request.rng(), request.index
        tried = []
        for _ in range(OTHER_VIDEOS):
            video, frames = self._videos[number]
            for left in reversed(range(self.retries)):
                complete = self.complete_first and left > 0
                result = self._attempt(video, self._frames(frames, request, rng), complete, rng)
                if result is not None:
                    return result
            tried.append(video.name)
            number = int(rng.integers(len(self)))
        raise DataError(f"no object was visible in the first frame of a clip, after {self.retries} tries in each of "
                        f"the videos {', '.join(tried)}; check the masks, or let the transforms crop less")

    def _frames(self, frames: list[int], request: ClipRequest, rng: np.random.Generator) -> list[int]:
        jump = max(1, request.max_skip // self.skip_unit)
        chosen = self.choose_frames(rng, len(frames), request.length, jump)
        if rng.random() < self.reverse:
            chosen = chosen[: self.stay_first] + chosen[self.stay_first :][::-1]
        return [frames[k] for k in chosen]

    def _attempt(self, video: Video, frames: list[int], complete: bool, rng: np.random.Generator) -> dict | None:
        labels = [self._labels(video, index) for index in frames]
        if ((labels[0] > 0) & (labels[0] < VOID)).sum() < self.first_pixels:
            return None
        if complete and not set(np.unique(labels[1:])) <= {*np.unique(labels[0]), 0, VOID}:
            return None
        clip = Clip([self._reader.image(video, index) for index in frames], labels)
        for transform in self.transforms:
            clip = transform(clip, rng)
        if self.size is not None and clip.size != self.size:
            raise ConfigError(f"the transforms make clips of {clip.size}, but size={self.size}")
        slots = choose_slots(clip.labels, rng, self.max_objects, self.late_objects, self.min_pixels)
        if slots is None:
            return None
        return make_sample(clip.images, clip.labels, slots, video.name, [video.frame_name(index) for index in frames])

    def _labels(self, video: Video, index: int) -> np.ndarray:
        labels = self._reader.labels(video, index)
        if self.merge_objects:
            labels = np.where((labels > 0) & (labels < VOID), 1, labels).astype(np.uint8)
        return labels


def _annotated(video: Video) -> tuple[Video, list[int]]:
    return video, [index for index, path in enumerate(video.mask_paths) if path is not None]
