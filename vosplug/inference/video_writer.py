"""Writing videos in which the masks are drawn over the frames."""

import contextlib
import importlib.util
import os
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from ..registry import WRITERS
from ..utils.errors import InputError, OutputError
from ..utils.opencv_logs import quiet_video
from ..visualization import draw_overlay
from .readers import Frame
from .writers import FrameWriter, make_folder

DEFAULT_FPS = 24.0
TICKS = 100
LONGEST = 10_000  # frames that one may stay: more is a fault of the times
SUFFIXES = (".mp4", ".mov", ".mkv", ".avi", ".m4v")


@WRITERS.register_module()
class OverlayVideoWriter(FrameWriter):
    """A video of the frames with the masks drawn over them: H.264 by PyAV where it is installed, else OpenCV's MPEG-4.

    Frames of a variable rate keep the times at which they are shown; OpenCV repeats them to that end. The file appears
    when the writer is closed; frames that were written before an error elsewhere are in it.

    Args:
        out: the file (.mp4, .mov, .mkv, .avi, .m4v).
        fps: frames per second; None means 24.
        alpha: weight of the colour of an object.
        decorate: called with each finished picture (H, W, 3) uint8 RGB; gives the one to write.

    Raises:
        InputError: the suffix is not that of a video.
        OutputError: the file cannot be written.
    """

    def __init__(self, out: str | Path, fps: float | None = None, alpha: float = 0.5,
                 decorate: Callable[[np.ndarray], np.ndarray] | None = None):
        self.out = Path(out)
        if self.out.suffix.lower() not in SUFFIXES:
            raise InputError(f"{out}: the suffix of an overlay video must be one of {', '.join(SUFFIXES)}")
        make_folder(self.out.parent)
        if self.out.is_dir():
            raise OutputError(f"cannot write {out}: it is a folder")
        self.fps = fps or DEFAULT_FPS
        self.alpha = alpha
        self.decorate = decorate
        self.frames = 0
        self._clock = Clock(self.fps)
        self._encoder: PyAVEncoder | OpenCVEncoder | None = None
        self._temporary = self._reserve()

    def write(self, frame: Frame, labels: np.ndarray) -> None:
        picture = draw_overlay(frame.image, labels, alpha=self.alpha)
        self.add(picture if self.decorate is None else self.decorate(picture), frame.time)

    def add(self, image: np.ndarray, time: float | None = None) -> None:
        """Append a picture (H, W, 3) uint8 RGB as it is, shown at ``time`` (seconds); errors as :meth:`write`."""
        if self._temporary is None:
            raise OutputError(f"{self.out} is closed: nothing can be added")
        image = even_sides(image)
        try:
            if self._encoder is None:
                self._encoder = make_encoder(self._temporary, image.shape[:2], self.fps)
            self._encoder.write(image, self._clock.ticks(time))
        except OSError as error:
            self._fail(error)
        self.frames += 1

    def close(self) -> None:
        """Finish the file and move it to its place; without any frame there is no file."""
        if self._temporary is None:
            return
        if self._encoder is None:
            self._discard()
            return
        try:
            self._encoder.close()
            if not os.path.getsize(self._temporary):
                raise OSError("the encoder wrote nothing; is the disk full?")
            os.replace(self._temporary, self.out)
            self._temporary = None
        except OSError as error:
            self._fail(error)

    def _reserve(self) -> str:
        try:
            handle, name = tempfile.mkstemp(prefix=f".{self.out.stem}.", suffix=self.out.suffix, dir=self.out.parent)
        except OSError as error:
            raise OutputError(f"cannot write {self.out}: {error.strerror}") from error
        os.close(handle)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        return name

    def _discard(self) -> None:
        if self._temporary is not None and os.path.exists(self._temporary):
            os.unlink(self._temporary)
        self._temporary = None

    def _fail(self, error: OSError) -> None:
        if self._encoder is not None:
            with contextlib.suppress(Exception):  # an encoder that stays open keeps its share of a full disk
                self._encoder.abort()
            self._encoder = None
        self._discard()
        raise OutputError(f"cannot write {self.out}: {error.strerror or error}") from error


class Clock:
    """When frames are shown, in ticks of a hundredth of the distance of two frames.

    At a constant rate, small deviations of the stated times are rounding. Once a frame is off by more than half a
    frame, the rate is variable, and times are kept as they are.
    """

    def __init__(self, fps: float):
        self.fps = fps
        self.count = 0
        self.varies = False
        self._first: float | None = None
        self._last = -TICKS

    def ticks(self, time: float | None) -> int:
        """Ticks at which the next frame is shown, from 0; always later than the frame before."""
        even = self._last + TICKS if self.varies else self.count * TICKS
        place = even
        if time is not None:
            self._first = time if self._first is None else self._first
            exact = round((time - self._first) * self.fps * TICKS)
            self.varies = self.varies or abs(exact - even) > TICKS // 2
            place = exact if self.varies else even
        self.count += 1
        self._last = min(max(place, self._last + 1), self._last + LONGEST * TICKS)
        return self._last


class PyAVEncoder:
    """H.264 (or MPEG-4 where the build lacks it) by PyAV."""

    def __init__(self, path: str, size: tuple[int, int], fps: float):
        import av

        self.container = av.open(path, "w")
        codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        rate = Fraction(fps).limit_denominator(1001)
        self.stream = self.container.add_stream(codec, rate=rate)
        self.tick = 1 / (rate * TICKS)
        self.stream.codec_context.time_base = self.tick
        self.stream.height, self.stream.width = size
        self.stream.pix_fmt = "yuv420p"
        if codec == "libx264":
            # Without frames in another order, the file is as long as its frames are shown, at a variable rate too.
            self.stream.options = {"crf": "20", "preset": "veryfast", "bf": "0"}
        else:
            self.stream.bit_rate = 8_000_000

    def write(self, image: np.ndarray, ticks: int) -> None:
        """Encode (H, W, 3) uint8 RGB, shown at ``ticks``."""
        import av

        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = ticks, self.tick
        for packet in self.stream.encode(frame):
            self.container.mux(packet)

    def close(self) -> None:
        """Encode what is left and finish the file."""
        for packet in self.stream.encode():
            self.container.mux(packet)
        self.container.close()

    def abort(self) -> None:
        """Let go of the file."""
        self.container.close()


class OpenCVEncoder:
    """MPEG-4 by ``cv2.VideoWriter``, which reports no failure: the finished file is looked at instead."""

    def __init__(self, path: str, size: tuple[int, int], fps: float):
        self.path = path
        self.frames = 0
        self._last: np.ndarray | None = None
        code = "XVID" if path.endswith(".avi") else "mp4v"
        with quiet_video():
            self.writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*code), fps, size[::-1])
        if not self.writer.isOpened():
            raise OSError("OpenCV cannot encode this format; try .mp4, or install PyAV (`pip install av`)")

    def write(self, image: np.ndarray, ticks: int) -> None:
        """Encode (H, W, 3) uint8 RGB, shown at ``ticks``: the frame before is repeated until then."""
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        repeats = max(0, round(ticks / TICKS) - self.frames) if self._last is not None else 0
        with quiet_video():
            for picture in (*[self._last] * repeats, image):
                self.writer.write(picture)
        self.frames += 1 + repeats
        self._last = image

    def close(self) -> None:
        """Finish the file."""
        with quiet_video():
            self.writer.release()
            capture = cv2.VideoCapture(self.path)
            written = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
            capture.release()
        if written < self.frames:
            raise OSError(f"only {written} of {self.frames} frames arrived in the file; is the disk full?")

    def abort(self) -> None:
        """Let go of the file."""
        self.writer.release()


def make_encoder(path: str, size: tuple[int, int], fps: float) -> PyAVEncoder | OpenCVEncoder:
    """The best encoder that is installed."""
    encoder = PyAVEncoder if importlib.util.find_spec("av") is not None else OpenCVEncoder
    return encoder(path, size, fps)


def even_sides(image: np.ndarray) -> np.ndarray:
    """Repeat the last row and column where a side is odd: the colour planes of a video have half its size."""
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        image = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    return image
