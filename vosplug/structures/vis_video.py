"""Videos of instance segmentation data sets: frames, and tracks of objects with a category."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco

from ..utils.errors import DataError, InputError
from ..utils.images import read_image
from ..utils.rle import segmentation_fault


@dataclass(frozen=True)
class VISTrack:
    """One object of a video. Masks are kept as the file has them and decoded when asked for.

    Attributes:
        id: of the annotation.
        category_id: of the category in the file.
        category: its name.
        segmentations: T entries: run lengths (plain or compressed), polygons, or None where the object is absent.
        size: (H, W) of the video.
        boxes: T boxes [x, y, width, height] as the file has them, or None.
        areas: T pixel counts as the file has them, or None where the object is absent; None if the file has none.
        crowd: a group of objects: not trained on, and not counted as missed.
        name: for messages.
    """

    id: int
    category_id: int
    category: str
    segmentations: Sequence[Any]
    size: tuple[int, int]
    boxes: Sequence[Any] | None = None
    areas: Sequence[float | None] | None = None
    crowd: bool = False
    name: str = ""

    def __len__(self) -> int:
        return len(self.segmentations)

    def present(self, index: int) -> bool:
        """Whether the object has a mask in frame ``index``."""
        return self.segmentations[index] is not None

    def mask(self, index: int) -> np.ndarray:
        """(H, W) bool mask in frame ``index``; all False where the object is absent.

        Raises:
            DataError: the segmentation is damaged or has another size.
        """
        segmentation = self.segmentations[index]
        if segmentation is None:
            return np.zeros(self.size, bool)
        fault = segmentation_fault(segmentation, self.size)
        if fault:
            raise DataError(f"{self.name or f'track {self.id}'}, frame {index}: {fault}")
        if isinstance(segmentation, list):
            packed = coco.merge(coco.frPyObjects(segmentation, *self.size))
        elif isinstance(segmentation["counts"], list):
            packed = coco.frPyObjects(segmentation, *self.size)
        else:
            packed = segmentation
        return coco.decode(packed).astype(bool)


@dataclass(frozen=True)
class VISVideo:
    """One video of an instance segmentation data set. Holds no pixels.

    Attributes:
        id: of the video in the file.
        name: of the video, different for each video of a data set.
        image_paths: T pictures, in order.
        size: (H, W) that the file states.
        tracks: the annotated objects.
        has_reference: the file has annotations, so that predictions can be scored.
    """

    id: int
    name: str
    image_paths: Sequence[Path]
    size: tuple[int, int]
    tracks: Sequence[VISTrack] = field(default_factory=tuple)
    has_reference: bool = False

    def __post_init__(self):
        if not self.image_paths:
            raise DataError(f"video {self.name} has no frames")
        for track in self.tracks:
            if len(track) != len(self.image_paths):
                raise DataError(f"video {self.name}: track {track.id} has {len(track)} segmentations for "
                                f"{len(self.image_paths)} frames")

    def __len__(self) -> int:
        return len(self.image_paths)

    def frame_name(self, index: int) -> str:
        """Name of frame ``index`` without folder and suffix."""
        return Path(self.image_paths[index]).stem

    def read_frame(self, index: int) -> np.ndarray:
        """Frame ``index`` as (H, W, 3) uint8 RGB.

        Raises:
            DataError: it is unreadable, or has another size than the file says.
        """
        image = read_image(self.image_paths[index])
        if image.shape[:2] != tuple(self.size):
            raise DataError(f"{self.image_paths[index]}: the picture is {image.shape[1]} x {image.shape[0]}, but the "
                            f"annotation file says {self.size[1]} x {self.size[0]} (width x height)")
        return image

    def read_masks(self, index: int) -> np.ndarray:
        """(N, H, W) bool masks of all tracks in frame ``index``."""
        masks = [track.mask(index) for track in self.tracks]
        return np.stack(masks) if masks else np.zeros((0, *self.size), bool)

    def subsampled(self, stride: int) -> "VISVideo":
        """The video at a lower frame rate: frames 0, ``stride``, 2 * ``stride``, ..."""
        if isinstance(stride, bool) or not isinstance(stride, int) or stride < 1:
            raise InputError(f"the stride of frames must be a whole number of at least 1, got {stride!r}")
        if stride == 1:
            return self
        def thin(values):
            return None if values is None else values[::stride]
        tracks = tuple(VISTrack(t.id, t.category_id, t.category, thin(t.segmentations), t.size, thin(t.boxes),
                                thin(t.areas), t.crowd, t.name) for t in self.tracks)
        return VISVideo(self.id, self.name, thin(self.image_paths), self.size, tracks, self.has_reference)
