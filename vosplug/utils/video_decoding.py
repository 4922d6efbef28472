"""Decoding video files and cameras: by OpenCV, and by PyAV where OpenCV has no decoder."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from .errors import DataError
from .opencv_logs import quiet_video

VIDEO_SUFFIXES = (".mp4", ".webm", ".avi", ".mkv", ".mov", ".m4v", ".mpg", ".mpeg", ".ogv", ".gif", ".ts", ".wmv")
HARMLESS = ("mmco:", "number of reference frames", "SEI type", "non-existing PPS", "non-existing SPS", "no frame!",
            "deprecated pixel format")
"""What FFmpeg calls an error although the pictures are right."""


class OpenCVDecoder:
    """Frames of a file or camera by ``cv2.VideoCapture``, turned as the file asks for.

    Attributes:
        num_frames: of a file, as its container states them, which may be an estimate; or None.
        fps, size: frames per second, and (H, W); or None.
        last_time: seconds at which the last frame is shown; None before the first one, and for cameras.
        complaints: what the decoder said about damaged data.
    """

    def __init__(self, source: str | int):
        self.source = source
        self.is_file = isinstance(source, str)
        self.complaints: list[str] = []
        with quiet_video():
            self.capture = _capture(source)
            self.capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)  # one version of OpenCV has another default
        frames = self.capture.get(cv2.CAP_PROP_FRAME_COUNT)
        rate = self.capture.get(cv2.CAP_PROP_FPS)
        self.num_frames = int(frames) if frames > 0 and self.is_file else None
        self.fps = rate if 0 < rate < 1000 else None
        size = (int(self.capture.get(cv2.CAP_PROP_FRAME_HEIGHT)), int(self.capture.get(cv2.CAP_PROP_FRAME_WIDTH)))
        self.size = size if all(size) else None
        self.last_time: float | None = None

    def is_open(self) -> bool:
        """Whether the source was understood."""
        return self.capture.isOpened()

    def packet_times(self) -> list[float]:
        """Seconds at which the packets of a file are shown, in the order of the file; none where they are not known."""
        times = []
        with quiet_video():
            capture = cv2.VideoCapture(self.source, cv2.CAP_FFMPEG)
            if capture.isOpened() and capture.set(cv2.CAP_PROP_FORMAT, -1):  # packets, not pictures
                while capture.grab():
                    times.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
            capture.release()
        return times

    def images(self) -> Iterator[np.ndarray]:
        """(H, W, 3) uint8 RGB."""
        while True:
            if self.is_file:
                with quiet_video() as heard:
                    good, image = self.capture.read()
                self.complaints += [line for line in heard if not any(word in line for word in HARMLESS)]
            else:
                good, image = self.capture.read()
            if not good:
                return
            self.last_time = self._time() if self.is_file else None
            yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB)

    def _time(self) -> float:
        """Seconds of the frame that was read. OpenCV says 0 of those whose time the file does not state, as of the last
        ones of MPEG program streams: these come one frame after the one before.
        """
        time = self.capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        return time if time or self.last_time is None else self.last_time + 1 / (self.fps or 25)

    def close(self) -> None:
        """Release the source."""
        self.capture.release()


class PyAVDecoder:
    """Frames of a file by PyAV; attributes as of :class:`OpenCVDecoder`.

    Raises:
        DataError: PyAV cannot open the file, or it has no video.
    """

    def __init__(self, path: Path):
        self.path = path
        self.container = self._open()
        stream = self.container.streams.video[0]
        stream.thread_type = "AUTO"
        rate = stream.average_rate or stream.guessed_rate
        self.fps = float(rate) if rate else None
        self.num_frames = stream.frames or None
        self.size = None  # a rotation is known with the first frame only
        self.last_time: float | None = None
        self.complaints: list[str] = []

    def packet_times(self) -> list[float]:
        """Seconds at which the packets are shown, in the order of the file."""
        import av

        container = self._open()
        try:
            return [float(packet.pts * packet.time_base) for packet in container.demux(video=0)
                    if packet.pts is not None]
        except (av.error.FFmpegError, OSError):
            return []
        finally:
            container.close()

    def images(self) -> Iterator[np.ndarray]:
        """(H, W, 3) uint8 RGB."""
        import av

        try:
            for frame in self.container.decode(video=0):
                self.last_time = frame.time
                if frame.is_corrupt:
                    self.complaints.append("corrupt frame")
                yield np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), _turns(frame)))
        except (av.error.FFmpegError, OSError) as error:
            raise DataError(f"{self.path}: the video cannot be decoded further ({error.strerror})") from error

    def close(self) -> None:
        """Close the file."""
        self.container.close()

    def _open(self):
        import av

        try:
            container = av.open(str(self.path), metadata_errors="replace")  # titles in any encoding
        except (av.error.FFmpegError, OSError) as error:
            raise DataError(f"{self.path}: not a readable video, or it is cut short ({error.strerror})") from error
        if not container.streams.video:
            container.close()
            raise DataError(f"{self.path}: the file has no video stream")
        return container


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


def _capture(source: str | int) -> cv2.VideoCapture:
    """Open a source; a file with one thread, as what others say comes at any time and tells of no certain frame."""
    if isinstance(source, str):
        capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        if capture.isOpened():
            return capture
        capture.release()
    return cv2.VideoCapture(source)


def _turns(frame) -> int:
    """Quarter turns to the left that make a frame upright."""
    rotation = getattr(frame, "rotation", None)
    if rotation is None:  # PyAV before 14: the first two numbers of the matrix of the display are cosine and sine
        matrix = frame.side_data.get("DISPLAYMATRIX")
        numbers = np.frombuffer(bytes(matrix), "<i4")[:2] if matrix is not None else (1, 0)
        rotation = -np.degrees(np.arctan2(numbers[1], numbers[0]))
    return round(rotation / 90) % 4
