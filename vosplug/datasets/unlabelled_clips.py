"""Training clips without labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..registry import DATASETS
from ..structures import ClipSample, Video
from ..utils.errors import ConfigError, DataError, InputError
from ..utils.images import IMAGE_SUFFIXES
from ..utils.masks import VOID
from .frame_reader import FrameReader
from .jump_rules import JUMP_RULES
from .layout import check_choice
from .pipelines import STATIC_PIPELINES, VIDEO_PIPELINES, build_transforms
from .plain_videos import PlainVideo, find_stills, find_videos
from .sampling import ClipRequest
from .slots import choose_slots
from .transforms import Clip

OTHER_VIDEOS = 8


@DATASETS.register_module()
class UnlabelledClips:
    """Random clips of videos whose labels are not read; item ``i`` is a clip of video ``i``.

    Labels of all frames are void, but for the first one of a clip where ``videos`` names a data set with masks: those
    start the objects, as at test time. No other mask is opened, and nothing else depends on one.

    Args:
        data_root: folder of videos: folders of pictures, and video files. No mask is looked for.
        videos: in its place, config of a video data set (or the object); masks of first frames are read. Frames without
            a mask come later in clips only.
        sequences: names of videos of ``data_root`` to keep, or the path of a list of them; all by default.
        stills: every picture below ``data_root`` is a video of one frame; clips are random views of it.
        suffixes: of the pictures with ``stills``: leave out those of masks that lie beside them.
        transforms: configs of clip transforms, or the name of a pipeline, see :class:`~.video_clips.VideoClips`.
        size: (H, W) of the clips, or one number for a square: of the pipeline, and checked after given transforms.
        max_objects, min_pixels: of the masks of first frames.
        jump_rule, reverse, skip_unit, retries, cache_mib, decode_reduction: see :class:`~.video_clips.VideoClips`.

    Attributes:
        opens_masks: whether masks of first frames are read.

    Raises:
        ConfigError: an option is out of range, or not exactly one of ``data_root`` and ``videos`` is given.
        DataError: no video is found, a file is unreadable, or no first frame that was tried shows an object.
    """

    label_free = True

    def __init__(self, data_root: str | Path | None = None, videos: Any = None,
                 sequences: Sequence[str] | str | None = None, stills: bool = False,
                 suffixes: Sequence[str] = IMAGE_SUFFIXES, transforms: Sequence[Any] | str = "aot",
                 size: int | tuple[int, int] | None = None, max_objects: int = 10, min_pixels: int = 1,
                 jump_rule: str = "aot", reverse: float = 0.5, skip_unit: int = 1, retries: int = 5,
                 cache_mib: float = 0, decode_reduction: int = 1):
        check_choice("jump rule", jump_rule, tuple(JUMP_RULES))
        if (data_root is None) == (videos is None):
            raise ConfigError("UnlabelledClips needs data_root, a folder of videos, or videos, a data set, not both")
        if videos is not None and (stills or sequences is not None):
            raise ConfigError("UnlabelledClips takes stills and sequences with data_root only")
        for name, value in {"max_objects": max_objects, "min_pixels": min_pixels, "skip_unit": skip_unit,
                            "retries": retries}.items():
            if value < 1:
                raise ConfigError(f"UnlabelledClips needs {name} >= 1, got {value}")
        if not 0 <= reverse <= 1:
            raise ConfigError(f"UnlabelledClips needs reverse in [0, 1], got {reverse}")
        self.size = (size, size) if isinstance(size, int) else size and tuple(size)
        pipelines = STATIC_PIPELINES if stills else VIDEO_PIPELINES
        self.transforms = build_transforms(transforms, pipelines, size if stills else self.size)
        self.choose_frames, self.reverse, self.skip_unit = JUMP_RULES[jump_rule], reverse, skip_unit
        self.max_objects, self.min_pixels, self.retries = max_objects, min_pixels, retries
        self.opens_masks = videos is not None
        self._reader = FrameReader(cache_mib, decode_reduction)
        self._videos: list[tuple[PlainVideo, Video | None]] = []
        if videos is None:
            found = find_stills(data_root, suffixes) if stills else find_videos(data_root, sequences)
            self._videos = [(video, None) for video in found]
        else:
            dataset = DATASETS.build(videos) if isinstance(videos, dict) else videos
            self._videos = [(PlainVideo(v.name, len(v), v.image_paths), v) for v in dataset.videos()]

    def __len__(self) -> int:
        return len(self._videos)

    def __getitem__(self, request: ClipRequest) -> dict:
        if request.index >= len(self):
            raise InputError(f"clip {request.index} is out of range: there are {len(self)} videos")
        rng, number, tried = request.rng(), request.index, []
        for _ in range(OTHER_VIDEOS):
            for _ in range(self.retries):
                result = self._attempt(*self._videos[number], request, rng)
                if result is not None:
                    return result
            tried.append(self._videos[number][0].name)
            number = int(rng.integers(len(self)))
        raise DataError(f"no object was visible in the first frame of a clip, after {self.retries} tries in each of "
                        f"the videos {', '.join(tried)}; check the masks, or let the transforms crop less")

    def _attempt(self, video: PlainVideo, masks: Video | None, request: ClipRequest,
                 rng: np.random.Generator) -> dict | None:
        jump = max(1, request.max_skip // self.skip_unit)
        frames = self.choose_frames(rng, video.count, request.length, jump)
        frames = frames[::-1] if rng.random() < self.reverse else frames
        first = None
        if masks is not None:
            if masks.mask_paths[frames[0]] is None:
                return None
            first = self._reader.labels(masks, frames[0])
        images = video.read(frames, self._reader)
        given = [np.zeros(image.shape[:2] if first is None else first.shape, np.uint8) for image in images]
        if first is not None:
            given[0] = first
        clip = Clip(images, given)
        for transform in self.transforms:
            clip = transform(clip, rng)
        if self.size is not None and clip.size != self.size:
            raise ConfigError(f"the transforms make clips of {clip.size}, but size={self.size}")
        slots = {}
        if first is not None:
            slots = choose_slots(clip.labels, rng, self.max_objects, late_objects=False, min_pixels=self.min_pixels)
            if slots is None:
                return None
        return self._sample(clip, slots, video.name, tuple(str(index) for index in frames))

    def _sample(self, clip: Clip, slots: dict[int, int], name: str, frame_names: tuple[str, ...]) -> dict:
        labels = np.full((len(clip), *clip.size), VOID, np.uint8)
        if slots:
            labels[0] = clip.labels[0] * (clip.labels[0] == VOID)
        for slot, number in enumerate(slots, 1):
            labels[0][clip.labels[0] == number] = slot
        inputs = torch.from_numpy(np.stack(clip.images)).permute(0, 3, 1, 2).contiguous()
        sample = ClipSample(torch.from_numpy(labels), (0,) * len(slots), tuple(slots), name, frame_names)
        return {"inputs": inputs, "data_samples": sample}
