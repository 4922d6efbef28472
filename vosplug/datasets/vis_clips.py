"""Training clips of video instance segmentation."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch

from ..registry import DATASETS
from ..structures.vis_clip import VISClipSample
from ..structures.vis_video import VISTrack, VISVideo
from ..utils.errors import ConfigError, DataError, InputError
from .frame_reader import FrameReader
from .sampling import ClipRequest

LENGTH = 36
"""Frames of a clip in EfficientVIS (Wu et al., CVPR 2022, section 4.1)."""
OTHER_VIDEOS = 8


@DATASETS.register_module()
class VISClips:
    """Clips, or pairs of clips, of the videos of a :class:`YouTubeVISDataset`; item ``i`` is a clip of video ``i``.

    An item is ``dict(inputs, data_samples)`` with ``inputs`` (T, 3, h, w) uint8 RGB and ``data_samples`` a
    :class:`~vosplug.structures.VISClipSample`. With ``pairs`` both are lists of two, one entry per clip, in random
    order (EfficientVIS, section 3.3, footnote 2); the clips of a pair have one size, and the same tracks in the same
    order, those of either clip.

    T is the ``length`` of the request (:data:`LENGTH` in EfficientVIS). Frames of a clip are equally spaced, by 1 to
    ``max_skip`` (of the request) frames; 1 takes every frame. The later clip of a pair begins where the other one ends
    or after it. A video that is too short for what is asked is played to and fro: 0 1 2 3 2 1 0 1 ..., so that objects
    keep moving smoothly and every frame has its true labels; a video of one frame is repeated.

    Args:
        videos: config of the video data set (or the object). Videos without annotations, and those without any object
            that is not a crowd, are left out.
        size: (H, W) that pictures are resized to fit in, keeping their ratio.
        short_sides: multi-scale training: one of these replaces H at random, and W in proportion; None always takes
            ``size``.
        flip: probability of mirroring all frames left to right.
        pairs: make pairs of clips.
        max_tracks: most objects of an item; a random choice where a video has more. None for all.
        retries: how many choices of frames are tried until one shows an object, before another video is taken.
        cache_mib: decoded frames that each process keeps, in MiB.

    Attributes:
        classes: names of the categories; ``categories`` of a sample are indices into it.

    Raises:
        ConfigError: an option is out of range, or no video has an object.
        InputError: a request is out of range.
        DataError: a file is missing or wrong, or no video that was tried shows an object.
    """

    def __init__(self, videos: Any, size: tuple[int, int] = (360, 640), short_sides: Sequence[int] | None = None,
                 flip: float = 0.5, pairs: bool = False, max_tracks: int | None = None, retries: int = 5,
                 cache_mib: float = 0):
        _check("size", size, len(tuple(size)) == 2 and min(size) >= 1)
        _check("short_sides", short_sides, short_sides is None or (len(short_sides) > 0 and min(short_sides) >= 1))
        _check("flip", flip, 0 <= flip <= 1)
        _check("max_tracks", max_tracks, max_tracks is None or max_tracks >= 1)
        _check("retries", retries, retries >= 1)
        dataset = DATASETS.build(videos) if isinstance(videos, dict) else videos
        self.classes = tuple(dataset.classes)
        self._labels = {number: label for label, number in enumerate(dataset.category_ids)}
        self._videos = [(video, tracks) for video in dataset.videos()
                        if (tracks := [track for track in video.tracks if not track.crowd])]
        if not self._videos:
            raise ConfigError(f"VISClips: no video of {type(dataset).__name__} has an annotated object; the published "
                              "valid and test files have no annotations, train on split='train'")
        self.size, self.short_sides = tuple(size), None if short_sides is None else tuple(short_sides)
        self.flip, self.pairs, self.max_tracks, self.retries = flip, pairs, max_tracks, retries
        self._reader = FrameReader(cache_mib)

    def __len__(self) -> int:
        return len(self._videos)

    def __getitem__(self, request: ClipRequest) -> dict:
        if request.index >= len(self):
            raise InputError(f"clip {request.index} is out of range: there are {len(self)} videos")
        rng, number, tried = request.rng(), request.index, []
        for _ in range(OTHER_VIDEOS):
            video, tracks = self._videos[number]
            for _ in range(self.retries):
                clips = clip_frames(rng, len(video), request.length, request.max_skip, 2 if self.pairs else 1)
                chosen = self._choose_tracks(tracks, clips, rng)
                item = self._item(video, chosen, clips, rng) if chosen else None
                if item is not None:
                    return item
            tried.append(video.name)
            number = int(rng.integers(len(self)))
        raise DataError(f"no object was visible in a clip, after {self.retries} tries in each of the videos "
                        f"{', '.join(tried)}; check the annotations, or use a larger size")

    def _choose_tracks(self, tracks: list[VISTrack], clips: list[list[int]], rng: np.random.Generator) -> list:
        shown = [track for track in tracks if any(track.present(t) for frames in clips for t in frames)]
        if self.max_tracks is None or len(shown) <= self.max_tracks:
            return shown
        return [shown[k] for k in sorted(rng.choice(len(shown), self.max_tracks, replace=False).tolist())]

    def _item(self, video: VISVideo, tracks: list[VISTrack], clips: list[list[int]],
              rng: np.random.Generator) -> dict | None:
        """The item of these frames; None if no object has a pixel left in the first clip."""
        size = self._target(video.size, rng)
        mirrored = bool(rng.random() < self.flip)
        masks = {t: [_resized(track.mask(t), size, mirrored) for track in tracks] for t in sorted({*sum(clips, [])})}
        if not any(mask.any() for t in clips[0] for mask in masks[t]):
            return None
        inputs = [self._pictures(video, frames, size, mirrored) for frames in clips]
        samples = [self._sample(video, tracks, frames, masks) for frames in clips]
        if self.pairs:
            return {"inputs": inputs, "data_samples": samples}
        return {"inputs": inputs[0], "data_samples": samples[0]}

    def _target(self, size: tuple[int, int], rng: np.random.Generator) -> tuple[int, int]:
        """The size (h, w) that a video of ``size`` is resized to."""
        height, width = self.size
        if self.short_sides is not None:
            side = int(self.short_sides[int(rng.integers(len(self.short_sides)))])
            height, width = side, side * width / height
        factor = min(height / size[0], width / size[1])
        return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))

    def _pictures(self, video: VISVideo, frames: list[int], size: tuple[int, int], mirrored: bool) -> torch.Tensor:
        once = {t: _resized(self._reader.image(video, t), size, mirrored) for t in sorted(set(frames))}
        return torch.from_numpy(np.stack([once[t] for t in frames])).permute(0, 3, 1, 2).contiguous()

    def _sample(self, video: VISVideo, tracks: list[VISTrack], frames: list[int], masks: dict) -> VISClipSample:
        stacked = torch.from_numpy(np.stack([np.stack(masks[t]) for t in frames], axis=1))
        boxes, present = mask_boxes(stacked)
        return VISClipSample(masks=stacked, boxes=boxes, present=present, ids=tuple(track.id for track in tracks),
                             categories=torch.tensor([self._labels[track.category_id] for track in tracks]),
                             frame_indices=tuple(frames), video=video.name)


def clip_frames(rng: np.random.Generator, count: int, length: int, max_skip: int, clips: int = 1) -> list[list[int]]:
    """Frames of ``clips`` clips, one after the other in time and given in random order.

    Args:
        rng: source of randomness.
        count: frames of the video.
        length: frames of a clip.
        max_skip: the distance of neighbouring frames is 1 .. ``max_skip``, the same in all clips; smaller where the
            video would be too short for it.
    """
    step = int(rng.integers(1, max_skip + 1))
    while step > 1 and clips * length * step > count:
        step -= 1
    span = length * step
    # What is left over is spread at random before, between and after the clips.
    spare = max(0, count - (clips * span - step + 1))
    gaps = np.sort(rng.integers(0, spare + 1, clips))
    starts = [int(gap) + k * span for k, gap in enumerate(gaps)]
    result = [[_to_and_fro(start + step * t, count) for t in range(length)] for start in starts]
    return [result[k] for k in rng.permutation(clips)]


def mask_boxes(masks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes (..., 4) float32, x1 y1 x2 y2 with x2 and y2 just outside, and presence (...) of masks (..., H, W) bool."""
    columns, rows = masks.any(dim=-2), masks.any(dim=-1)
    present = rows.any(dim=-1)

    def ends(line: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        extent = line.shape[-1]
        return line.int().argmax(dim=-1), extent - line.flip(-1).int().argmax(dim=-1)

    (left, right), (top, bottom) = ends(columns), ends(rows)
    boxes = torch.stack([left, top, right, bottom], dim=-1) * present[..., None]
    return boxes.float(), present


def _to_and_fro(time: int, count: int) -> int:
    """Frame at ``time`` of a video that is played 0 .. count-1 .. 0 .. without end."""
    if count == 1:
        return 0
    time %= 2 * (count - 1)
    return min(time, 2 * (count - 1) - time)


def _resized(array: np.ndarray, size: tuple[int, int], mirrored: bool) -> np.ndarray:
    """A picture (averaged where it shrinks, else cubic) or a bool mask (nearest pixel) at (h, w), maybe mirrored."""
    if array.dtype == bool:
        result = cv2.resize(array.view(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST_EXACT).view(bool)
    else:
        shrinks = array.shape[0] > size[0] or array.shape[1] > size[1]
        result = cv2.resize(array, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return np.ascontiguousarray(result[:, ::-1]) if mirrored else result


def _check(name: str, value: Any, right: bool) -> None:
    if not right:
        raise ConfigError(f"VISClips: {name}={value!r} is out of range (see its documentation)")
