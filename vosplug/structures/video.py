"""Videos and data sets of videos as the rest of vosplug sees them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from ..utils.errors import DataError
from ..utils.images import picture_size, read_image
from ..utils.masks import object_ids, read_first_mask, read_mask
from ..utils.notices import warn


@dataclass(frozen=True)
class Video:
    """One video of a data set: where its frames and masks lie, and what is to be predicted. Holds no pixels.

    Attributes:
        name: name of the video, also of its output folder.
        image_paths: one picture per frame, in order.
        mask_paths: per frame the path of its reference mask, or None where there is none.
        prompts: frame index -> ids whose mask in that frame's ``mask_paths`` entry starts (or restarts) the object.
            An empty video-wide dict means that nothing is prompted (training data).
        output_frames: indices of the frames for which a mask has to be written; all by default.
        categories: object id -> category name, where the data set tells it.
        first_frames: object id -> index of the first frame on which it is to be predicted or scored.
        binary: reference masks are 0/255 foreground masks that have to be binarised.
        has_reference: every frame that is scored has a reference mask that may be used for scoring.
        required_frames: object id -> frame indices on which the object has to be predicted (YouTube-VOS meta.json).
        prompt_paths: frame index -> mask to take the prompt from, where it is another file than the reference mask.
        resize_masks: masks of another size than their picture are resized (nearest neighbour) with a warning; by
            default they are refused.
    """

    name: str
    image_paths: Sequence[Path]
    mask_paths: Sequence[Path | None]
    prompts: dict[int, tuple[int, ...]] = field(default_factory=dict)
    output_frames: Sequence[int] | None = None
    categories: dict[int, str] = field(default_factory=dict)
    first_frames: dict[int, int] = field(default_factory=dict)
    binary: bool = False
    has_reference: bool = False
    required_frames: dict[int, tuple[int, ...]] = field(default_factory=dict)
    prompt_paths: dict[int, Path] = field(default_factory=dict)
    resize_masks: bool = False

    def __post_init__(self):
        if len(self.image_paths) != len(self.mask_paths):
            raise DataError(f"video {self.name}: {len(self.image_paths)} images but "
                            f"{len(self.mask_paths)} mask entries")
        if not self.image_paths:
            raise DataError(f"video {self.name} has no frames")
        for index in self.prompts:
            if self.mask_paths[index] is None and index not in self.prompt_paths:
                raise DataError(f"video {self.name}: frame {index} starts objects but has no mask")

    def __len__(self) -> int:
        return len(self.image_paths)

    def frame_name(self, index: int) -> str:
        """Name of frame ``index`` without folder and suffix."""
        return Path(self.image_paths[index]).stem

    def read_frame(self, index: int) -> np.ndarray:
        """Frame ``index`` as (H, W, 3) uint8 RGB."""
        return read_image(self.image_paths[index])

    def read_labels(self, index: int) -> np.ndarray | None:
        """Reference mask of frame ``index`` as (H, W) uint8 ids (255 = void), or None where there is none.

        Raises:
            DataError: the mask is unreadable, or its size is not that of its picture (unless ``resize_masks``).
        """
        path = self.mask_paths[index]
        return None if path is None else self._read_mask(path, index)

    def read_prompt(self, index: int) -> np.ndarray | None:
        """Labels (H, W) uint8 of the objects that start at frame ``index``, 0 elsewhere; None if none starts there."""
        if index not in self.prompts:
            return None
        labels = self._read_mask(self.prompt_paths.get(index, self.mask_paths[index]), index, read_first_mask)
        return np.where(np.isin(labels, self.prompts[index]), labels, 0).astype(np.uint8)

    def _read_mask(self, path: Path, index: int, read: Callable[..., np.ndarray] = read_mask) -> np.ndarray:
        labels = read(path, binary=self.binary)
        size = picture_size(self.image_paths[index])
        if size == labels.shape:
            return labels
        fault = f"{path}: the mask is {_size_text(labels.shape)} but its picture {_size_text(size)} (width x height)"
        if not self.resize_masks:
            raise DataError(f"{fault}; export the mask again at the size of the picture")
        warn(f"{fault}; it is resized (nearest neighbour)")
        return cv2.resize(labels, size[::-1], interpolation=cv2.INTER_NEAREST)

    def prompt_ids(self) -> list[int]:
        """All ids that are prompted anywhere in the video, sorted."""
        return sorted({i for ids in self.prompts.values() for i in ids})

    def ids_in(self, index: int) -> list[int]:
        """Ids present in the reference mask of frame ``index``."""
        labels = self.read_labels(index)
        return [] if labels is None else object_ids(labels)


class VideoDataset(ABC):
    """A list of :class:`Video`. Data sets differ in layout only; reading and sampling are shared.

    Class attributes:
        metric: type name of the metric that this data set is scored with ("DavisMetric", "YouTubeVOSMetric").
    """

    metric: str | None = None

    @abstractmethod
    def videos(self) -> list[Video]:
        """All videos of the split, in the order of the split list."""

    def __len__(self) -> int:
        return len(self.videos())


def _size_text(size: Sequence[int]) -> str:
    return f"{size[1]} x {size[0]}"
