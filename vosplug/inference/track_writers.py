"""Where tracks go: overlay videos, folders of label maps, and JSON."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..registry import WRITERS
from ..structures import TrackMask
from ..utils.errors import InputError, OutputError
from ..utils.masks import MAX_OBJECTS, write_mask
from ..visualization.tracks import draw_tracks, track_labels
from .frame_json import FrameJsonFile
from .opening import writer_for
from .readers import Frame
from .video_writer import OverlayVideoWriter
from .writers import Writer, make_folder


class TrackWriter(Writer):
    """Takes the tracks of one video, frame by frame."""

    @abstractmethod
    def write(self, frame: Frame, tracks: Sequence[TrackMask]) -> None:
        """Write what a frame shows.

        Raises:
            OutputError: the output cannot be written, or the disk is full.
        """

    def finish(self, tracks: Sequence[Mapping[str, Any]]) -> None:  # noqa: B027 (most outputs have no use for it)
        """Take the tracks of the whole video, whose classes and scores are final; called once, before :meth:`close`."""


@WRITERS.register_module()
class TrackVideoWriter(TrackWriter):
    """A video with masks, classes and scores drawn over the frames; see :class:`OverlayVideoWriter`.

    Args:
        out, fps, alpha: see :class:`OverlayVideoWriter`.
        captions: write class and score beside each mask.
    """

    def __init__(self, out: str | Path, fps: float | None = None, alpha: float = 0.5, captions: bool = True):
        self.video = OverlayVideoWriter(out, fps=fps)
        self.alpha, self.captions = alpha, captions

    def write(self, frame: Frame, tracks: Sequence[TrackMask]) -> None:
        self.video.add(draw_tracks(frame.image, tracks, alpha=self.alpha, captions=self.captions), frame.time)

    def close(self) -> None:
        """Finish the file and move it to its place."""
        self.video.close()


@WRITERS.register_module()
class TrackMaskFolderWriter(TrackWriter):
    """One index PNG with the DAVIS palette per frame; where tracks overlap, the one with the higher score is on top.

    Args:
        out: the folder; it is made, and files of the same names are replaced.

    Raises:
        OutputError: the folder cannot be made, or the video has more tracks than such a file has ids.
    """

    def __init__(self, out: str | Path):
        self.out = make_folder(out)

    def write(self, frame: Frame, tracks: Sequence[TrackMask]) -> None:
        if any(track.id > MAX_OBJECTS for track in tracks):
            raise OutputError(f"{self.out}: palette PNGs hold {MAX_OBJECTS} tracks, frame {frame.name} shows a further "
                              "one: raise the minimum score, or write .json")
        write_mask(self.out / f"{frame.name}.png", track_labels(tracks, frame.image.shape[:2]))


@WRITERS.register_module()
class TrackJsonWriter(TrackWriter):
    """One JSON file: masks by frame in COCO's compressed run-length encoding, and the tracks of the whole video.

    ``{"frames": [{"index", "name", "size": [H, W], "objects": {"1": {"size", "counts"}}}], "tracks": [{"id",
    "category", "label", "score", "first", "last", "frames"}]}``: ``id`` is the key in ``objects``, ``label`` the class
    from 0, ``first`` and ``last`` frames with a mask, ``frames`` the number of masks. If an error ends the run before
    the tracks are known, ``tracks`` is missing.

    Args:
        out: the file.

    Raises:
        OutputError: the file cannot be written.
    """

    def __init__(self, out: str | Path):
        self.file = FrameJsonFile(out)

    def write(self, frame: Frame, tracks: Sequence[TrackMask]) -> None:
        self.file.add(frame, frame.image.shape[:2], {str(track.id): track.mask for track in tracks})

    def finish(self, tracks: Sequence[Mapping[str, Any]]) -> None:
        keys = ("id", "category", "label", "score", "first", "last", "frames")
        self.file.close(tracks=[{key: track[key] for key in keys} for track in tracks])

    def close(self) -> None:
        """Finish the file and move it to its place."""
        self.file.close()


def open_track_writer(out: Any, *, fps: float | None = None) -> TrackWriter:
    """Open an output for tracks.

    Args:
        out: a path: ``.mp4`` (or another suffix of a video) for an overlay video, ``.json`` for run-length codes, a
            folder for palette PNGs; or a :class:`TrackWriter`, or its config (a dict with ``type``).
        fps: frame rate of an overlay video.

    Raises:
        OutputError: it cannot be written.
        InputError: the suffix says nothing, or the writer is not one for tracks.
    """
    if isinstance(out, dict):
        out = WRITERS.build(out)
    if isinstance(out, (str, Path)):
        return writer_for(Path(out), fps, video=TrackVideoWriter, json=TrackJsonWriter, folder=TrackMaskFolderWriter)
    if not isinstance(out, TrackWriter):
        raise InputError(f"{type(out).__name__} cannot write tracks: give a path, or a TrackWriter")
    return out
