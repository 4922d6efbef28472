"""Where results go: folders of masks or pictures, and JSON."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np

from ..registry import WRITERS
from ..utils.errors import OutputError
from ..utils.images import write_image
from ..utils.masks import object_ids, write_mask
from ..visualization import draw_overlay
from .frame_json import FrameJsonFile
from .readers import Frame


class Writer(ABC):
    """Takes the result of one video, frame by frame; also a context manager.

    What was written before an error stays: files of single frames as they are, and files of whole videos are finished
    by :meth:`close`, which is to be called in every case.
    """

    @abstractmethod
    def write(self, frame: Frame, result: Any) -> None:
        """Write the result of a frame.

        Raises:
            OutputError: the output cannot be written, or the disk is full.
        """

    def close(self) -> None:  # noqa: B027 (a writer that holds nothing open leaves it out)
        """Finish the output. Closing twice does no harm."""

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_) -> None:
        self.close()


class FrameWriter(Writer):
    """Takes the objects of one video, frame by frame."""

    @abstractmethod
    def write(self, frame: Frame, labels: np.ndarray) -> None:
        """Write the labels (H, W) uint8 of a frame.

        Raises:
            OutputError: the output cannot be written, or the disk is full.
        """


@WRITERS.register_module()
class MaskFolderWriter(FrameWriter):
    """One index PNG with the DAVIS palette per frame, named like its frame.

    Args:
        out: the folder; it is made, and files of the same names are replaced.

    Raises:
        OutputError: the folder cannot be made.
    """

    def __init__(self, out: str | Path):
        self.out = make_folder(out)

    def write(self, frame: Frame, labels: np.ndarray) -> None:
        write_mask(self.out / f"{frame.name}.png", labels)


@WRITERS.register_module()
class OverlayFolderWriter(FrameWriter):
    """One JPEG per frame with the masks drawn over it.

    Args:
        out: the folder; it is made.
        alpha: weight of the colour of an object.

    Raises:
        OutputError: the folder cannot be made.
    """

    def __init__(self, out: str | Path, alpha: float = 0.5):
        self.out = make_folder(out)
        self.alpha = alpha

    def write(self, frame: Frame, labels: np.ndarray) -> None:
        write_image(self.out / f"{frame.name}.jpg", draw_overlay(frame.image, labels, alpha=self.alpha))


@WRITERS.register_module()
class RleJsonWriter(FrameWriter):
    """One JSON file with the mask of every object in every frame, in COCO's compressed run-length encoding.

    ``{"frames": [{"index": 0, "name": "00000", "size": [H, W], "objects": {"1": {"size": [H, W], "counts": ".."}}}]}``.
    It is written as the video goes on and appears when it is closed, so that a long video needs no memory.

    Args:
        out: the file.

    Raises:
        OutputError: the file cannot be written.
    """

    def __init__(self, out: str | Path):
        self.file = FrameJsonFile(out)

    def write(self, frame: Frame, labels: np.ndarray) -> None:
        self.file.add(frame, labels.shape, encode_rle(labels))

    def close(self) -> None:
        """Finish the file and move it to its place."""
        self.file.close()


def encode_rle(labels: np.ndarray) -> dict[str, dict]:
    """Id (as text) -> COCO's compressed run-length encoding of its mask, for the ids in (H, W) uint8 labels."""
    from pycocotools import mask as coco

    records = {}
    for value in object_ids(labels):
        code = coco.encode(np.asfortranarray(labels == value, dtype=np.uint8))
        records[str(value)] = {"size": [int(side) for side in code["size"]], "counts": code["counts"].decode("ascii")}
    return records


def make_folder(path: str | Path) -> Path:
    """Make a folder with its parents, or raise :class:`OutputError`."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {path}: {error.strerror}") from error
    return path
