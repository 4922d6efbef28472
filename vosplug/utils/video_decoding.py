"""Decoding video files and cameras."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from .errors import DataError
from .opencv_logs import quiet_opencv

VIDEO_SUFFIXES = (".mp4", ".webm", ".avi", ".mkv", ".mov", ".m4v", ".mpg", ".mpeg", ".ogv", ".gif", ".ts", ".wmv")


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
