"""Reading video files and cameras."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from ..registry import READERS
from ..utils.errors import DataError
from ..utils.opencv_logs import quiet_opencv
from .readers import Frame, FrameReader

VIDEO_SUFFIXES = (".mp4", ".webm", ".avi", ".mkv", ".mov", ".m4v", ".mpg", ".mpeg", ".ogv", ".gif", ".ts", ".wmv")


@READERS.register_module()
class VideoReader(FrameReader):
    """A video file, read by OpenCV, or by PyAV where OpenCV has no decoder for it.

    Args:
        path: the file.

    Raises:
        DataError: the file is missing, cannot be decoded or has no frame; or, after the last frame that could be
            read, the file says that more should follow (it is cut short).
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if not self.path.is_file():
            raise DataError(f"video not found: {path}")
        if not self.path.stat().st_size:
            raise DataError(f"{path}: the file is empty")
        self.decoder = open_decoder(self.path)
        self.num_frames, self.fps, self.size = self.decoder.num_frames, self.decoder.fps, self.decoder.size

    def __iter__(self) -> Iterator[Frame]:
        count = -1
        for count, image in enumerate(self.decoder.images()):
            yield Frame(count, f"{count:05d}", image)
        count += 1
        if not count:
            raise DataError(f"{self.path}: the video has no frame that can be decoded")
        if self._is_cut_short(count):
            raise DataError(f"{self.path}: the video is cut short: only {count} of about {self.num_frames} frames "
                            "could be read")

    def close(self) -> None:
        """Close the file."""
        self.decoder.close()

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


class OpenCVDecoder:
    """Frames of a file or camera by ``cv2.VideoCapture``, turned as the file asks for."""

    def __init__(self, source: str | int):
        with quiet_opencv():
            self.capture = cv2.VideoCapture(source)
        frames = self.capture.get(cv2.CAP_PROP_FRAME_COUNT)
        rate = self.capture.get(cv2.CAP_PROP_FPS)
        self.num_frames = int(frames) if frames > 0 and isinstance(source, str) else None
        self.fps = rate if 0 < rate < 1000 else None
        size = (int(self.capture.get(cv2.CAP_PROP_FRAME_HEIGHT)), int(self.capture.get(cv2.CAP_PROP_FRAME_WIDTH)))
        self.size = size if all(size) else None
        self.last_time: float | None = None

    def is_open(self) -> bool:
        """Whether the source was understood."""
        return self.capture.isOpened()

    def images(self) -> Iterator[np.ndarray]:
        """(H, W, 3) uint8 RGB."""
        while True:
            time = self.capture.get(cv2.CAP_PROP_POS_MSEC)
            good, image = self.capture.read()
            if not good:
                return
            self.last_time = max(time, self.capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000
            yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB)

    def close(self) -> None:
        """Release the source."""
        self.capture.release()


class PyAVDecoder:
    """Frames of a file by PyAV.

    Raises:
        DataError: PyAV cannot open the file, or it has no video.
    """

    def __init__(self, path: Path):
        import av

        self.path = path
        try:
            self.container = av.open(str(path))
        except (av.error.FFmpegError, OSError) as error:
            raise DataError(f"{path}: not a readable video, or it is cut short ({error.strerror})") from error
        if not self.container.streams.video:
            self.container.close()
            raise DataError(f"{path}: the file has no video stream")
        stream = self.container.streams.video[0]
        stream.thread_type = "AUTO"
        rate = stream.average_rate or stream.guessed_rate
        self.fps = float(rate) if rate else None
        self.num_frames = stream.frames or None
        self.size = None  # A rotation is known with the first frame only.
        self.last_time: float | None = None

    def images(self) -> Iterator[np.ndarray]:
        """(H, W, 3) uint8 RGB."""
        import av

        try:
            for frame in self.container.decode(video=0):
                self.last_time = frame.time
                turns = round(getattr(frame, "rotation", 0) / 90) % 4
                yield np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), turns))
        except (av.error.FFmpegError, OSError) as error:
            raise DataError(f"{self.path}: the video cannot be decoded further ({error.strerror})") from error

    def close(self) -> None:
        """Close the file."""
        self.container.close()


def open_decoder(path: Path) -> OpenCVDecoder | PyAVDecoder:
    """The first decoder that gives a frame of a file.

    Raises:
        DataError: none does.
    """
    decoder = OpenCVDecoder(str(path))
    if decoder.is_open() and next(decoder.images(), None) is not None:
        decoder.close()
        return OpenCVDecoder(str(path))
    opened = decoder.is_open()
    decoder.close()
    if importlib.util.find_spec("av") is not None:
        return PyAVDecoder(path)
    problem = "has no frame that can be decoded" if opened else "is not a readable video, or is cut short"
    raise DataError(f"{path}: the file {problem} (OpenCV; with PyAV, `pip install av`, more formats can be read)")
