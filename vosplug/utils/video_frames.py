"""The frames of a video file, whole: what is missing or damaged is told, or taken by time."""

import heapq
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .errors import DataError
from .notices import warn
from .timeline import Timeline
from .video_decoding import OpenCVDecoder, PyAVDecoder

FREE_OF_RATE = (".gif",)
"""Formats that state how long each frame is shown, so that a long one means nothing."""
BY_TIME = "to go on, numbering frames by their time, use --by-time (VideoReader: by_time=True)"
_AT_THE_END = 4  # frames: a video that is cut short ends with damaged ones
_REORDERED = 4  # frames that may wait for one that comes late

Decoder = OpenCVDecoder | PyAVDecoder


def timeline_of(path: Path, decoder: Decoder) -> Timeline:
    """The times of the packets of a file; without any for formats in which they tell of no loss."""
    return Timeline([] if path.suffix.lower() in FREE_OF_RATE else decoder.packet_times())


def in_order(path: Path, decoder: Decoder) -> Iterator[tuple[float | None, np.ndarray]]:
    """Time in seconds, if it is known, and picture (H, W, 3) uint8 RGB of each frame.

    Raises:
        DataError: after the last good frame: frames are missing or damaged, more should follow, or there is none.
    """
    timeline, images, last, count = timeline_of(path, decoder), decoder.images(), None, 0
    for image in images:
        time = decoder.last_time
        if not count:
            decoder.complaints.clear()  # what lies before the first picture is no loss
        gap = timeline.gap(last, time) if None not in (last, time) else None
        if gap is not None or decoder.complaints:
            if len(list(itertools.islice(images, _AT_THE_END))) < _AT_THE_END:
                refuse_if_cut_short(path, decoder, count)
            raise DataError(f"{path}: the video is damaged at frame {count}: {gap or decoder.complaints[0]}; {BY_TIME}")
        last, count = time, count + 1
        yield time, image
    if not count:
        raise DataError(f"{path}: the video has no frame that can be decoded")
    refuse_if_cut_short(path, decoder, count)
    if decoder.complaints:
        raise DataError(f"{path}: the video is damaged behind its frame {count - 1} ({decoder.complaints[0]})")


def by_time(path: Path, decoder: Decoder) -> Iterator[tuple[int, float, np.ndarray]]:
    """Number by time, time in seconds and picture of each frame; what is missing or damaged gets a word of warning.

    Raises:
        DataError: the file states no times, or has no frame.
    """
    timeline = timeline_of(path, decoder)
    if timeline.period is None:
        raise DataError(f"{path}: the file states no times by which its frames could be numbered")
    number = -1
    for time, image in _sorted((decoder.last_time or 0.0, image) for image in decoder.images()):
        if timeline.number(time) <= number:
            warn(f"{path}: a frame at {time:.3f} s came too late and was left out")
            continue
        if timeline.number(time) > number + 1:
            warn(f"{path}: frames are missing or come at varying times: numbers are those of their times")
        number = timeline.number(time)
        yield number, time, image
    if number < 0:
        raise DataError(f"{path}: the video has no frame that can be decoded")
    for complaint in decoder.complaints[:1]:
        warn(f"{path}: the video is damaged ({complaint}), frames may be wrong")


def refuse_if_cut_short(path: Path, decoder: Decoder, count: int) -> None:
    """Raise :class:`DataError` if ``count`` frames are fewer than a file promises.

    Many containers state a duration, not a number of frames, so a few frames or a variable rate prove nothing: the
    frames *and* the time must be short of what is stated.
    """
    if not decoder.num_frames or not decoder.fps or decoder.last_time is None:
        return
    missing_frames = decoder.num_frames - count
    missing_seconds = (decoder.num_frames - 1) / decoder.fps - decoder.last_time
    if missing_frames > max(2, 0.02 * decoder.num_frames) and missing_seconds > 2 / decoder.fps:
        raise DataError(f"{path}: the video is cut short: only {count} of about {decoder.num_frames} frames could be "
                        "read")


def _sorted(frames: Iterator[tuple[float, np.ndarray]]) -> Iterator[tuple[float, np.ndarray]]:
    """Frames with those that come a little late, as they do behind lost packets, in their place."""
    waiting: list[tuple[float, int, np.ndarray]] = []
    for order, (time, image) in enumerate(frames):
        heapq.heappush(waiting, (time, order, image))
        if len(waiting) > _REORDERED:
            time, _, image = heapq.heappop(waiting)
            yield time, image
    while waiting:
        time, _, image = heapq.heappop(waiting)
        yield time, image
