"""Reading video files and cameras."""

import heapq
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..registry import READERS
from ..utils.errors import DataError
from ..utils.notices import warn
from .readers import Frame, FrameReader
from .timeline import Timeline
from .video_decoders import OpenCVDecoder, open_decoder

VIDEO_SUFFIXES = (".mp4", ".webm", ".avi", ".mkv", ".mov", ".m4v", ".mpg", ".mpeg", ".ogv", ".gif", ".ts", ".wmv")
FREE_OF_RATE = (".gif",)
"""Formats that state how long each frame is shown, so that a long one means nothing."""
_AT_THE_END = 4  # frames: a video that is cut short ends with damaged ones
_REORDERED = 4  # frames that may wait for one that comes late
BY_TIME = "to go on, numbering frames by their time, use --by-time (VideoReader: by_time=True)"


@READERS.register_module()
class VideoReader(FrameReader):
    """A video file, read by OpenCV, or by PyAV where OpenCV has no decoder for it.

    Frames are numbered in their order. Where the times of the frames and the packets of the file tell that some are
    missing, or the decoder that it had to guess, an error ends the video after the frames before.

    Args:
        path: the file.
        by_time: frames are numbered by their times, so that those behind a gap keep their numbers; damage is no error
            but gets a word of warning.

    Raises:
        DataError: the file is missing, cannot be decoded or has no frame; or, after the last frame that could be
            read, that frames are missing or damaged, or that more should follow (the file is cut short).
    """

    def __init__(self, path: str | Path, by_time: bool = False):
        self.path = Path(path)
        if not self.path.is_file():
            raise DataError(f"video not found: {path}")
        if not self.path.stat().st_size:
            raise DataError(f"{path}: the file is empty")
        self.by_time = by_time
        self.decoder = open_decoder(self.path)
        self.num_frames, self.fps, self.size = self.decoder.num_frames, self.decoder.fps, self.decoder.size

    def __iter__(self) -> Iterator[Frame]:
        timeline = Timeline([] if self.path.suffix.lower() in FREE_OF_RATE else self.decoder.packet_times())
        count = 0
        for frame in self._by_time(timeline) if self.by_time else self._in_order(timeline):
            count += 1
            yield frame
        if not count:
            raise DataError(f"{self.path}: the video has no frame that can be decoded")
        self._refuse_if_cut_short(count)
        if self.decoder.complaints and not self.by_time:
            raise DataError(f"{self.path}: the video is damaged behind its frame {count - 1} "
                            f"({self.decoder.complaints[0]})")

    def close(self) -> None:
        """Close the file."""
        self.decoder.close()

    def _in_order(self, timeline: Timeline) -> Iterator[Frame]:
        last, images = None, self.decoder.images()
        for count, image in enumerate(images):
            time = self.decoder.last_time
            if not count:
                self.decoder.complaints.clear()  # what lies before the first picture is no loss
            gap = timeline.gap(last, time) if None not in (last, time) else None
            if gap is not None or self.decoder.complaints:
                if len(list(itertools.islice(images, _AT_THE_END))) < _AT_THE_END:
                    self._refuse_if_cut_short(count)
                raise DataError(f"{self.path}: the video is damaged at frame {count}: "
                                f"{gap or self.decoder.complaints[0]}; {BY_TIME}")
            last = time
            yield Frame(count, f"{count:05d}", image, time)

    def _by_time(self, timeline: Timeline) -> Iterator[Frame]:
        if timeline.period is None:
            raise DataError(f"{self.path}: the file states no times by which its frames could be numbered")
        number = -1
        for time, image in in_order_of_time((self.decoder.last_time or 0.0, image) for image in self.decoder.images()):
            if timeline.number(time) <= number:
                warn(f"{self.path}: a frame at {time:.3f} s came too late and was left out")
                continue
            if timeline.number(time) > number + 1:
                warn(f"{self.path}: frames are missing or come at varying times: numbers are those of their times")
            number = timeline.number(time)
            yield Frame(number, f"{number:05d}", image, time)
        for complaint in self.decoder.complaints[:1]:
            warn(f"{self.path}: the video is damaged ({complaint}), frames may be wrong")

    def _refuse_if_cut_short(self, count: int) -> None:
        if self._is_cut_short(count):
            raise DataError(f"{self.path}: the video is cut short: only {count} of about {self.num_frames} frames "
                            "could be read")

    def _is_cut_short(self, count: int) -> bool:
        # Many containers state a duration, not a number of frames, so a few frames or a variable rate prove nothing:
        # the frames *and* the time must be short of what is stated.
        if not self.num_frames or not self.fps or self.decoder.last_time is None:
            return False
        missing_frames = self.num_frames - count
        missing_seconds = (self.num_frames - 1) / self.fps - self.decoder.last_time
        return missing_frames > max(2, 0.02 * self.num_frames) and missing_seconds > 2 / self.fps


@READERS.register_module()
class CameraReader(FrameReader):
    """A camera of this machine.

    Args:
        index: number of the camera, from 0.
        max_frames: stop after so many frames; None goes on until the camera stops.

    Raises:
        DataError: the camera cannot be opened.
    """

    def __init__(self, index: int = 0, max_frames: int | None = None):
        self.index = int(index)
        self.max_frames = max_frames
        self.decoder = OpenCVDecoder(self.index)
        if not self.decoder.is_open():
            raise DataError(f"camera {index} cannot be opened: is it connected, and is this the right number?")
        self.fps, self.size = self.decoder.fps, self.decoder.size

    def __iter__(self) -> Iterator[Frame]:
        for index, image in enumerate(self.decoder.images()):
            if self.max_frames is not None and index >= self.max_frames:
                return
            yield Frame(index, f"{index:05d}", image)

    def close(self) -> None:
        """Release the camera."""
        self.decoder.close()


def in_order_of_time(frames: Iterator[tuple[float, np.ndarray]]) -> Iterator[tuple[float, np.ndarray]]:
    """Frames (seconds, picture) with those that come a little late, as they do behind lost packets, in their place."""
    waiting: list[tuple[float, int, np.ndarray]] = []
    for order, (time, image) in enumerate(frames):
        heapq.heappush(waiting, (time, order, image))
        if len(waiting) > _REORDERED:
            time, _, image = heapq.heappop(waiting)
            yield time, image
    while waiting:
        time, _, image = heapq.heappop(waiting)
        yield time, image
