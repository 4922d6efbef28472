"""Reading video files and cameras."""

from collections.abc import Iterator
from pathlib import Path

from ..registry import READERS
from ..utils.errors import DataError
from ..utils.video_decoding import OpenCVDecoder, open_decoder
from .readers import Frame, FrameReader


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
