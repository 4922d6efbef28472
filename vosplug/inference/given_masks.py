"""What a user gives for a frame: the picture itself and masks of objects that start there, checked."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..structures import ObjectIds
from ..utils.errors import InputError
from ..utils.masks import MAX_OBJECTS, VOID, object_ids, resize_labels
from ..utils.notices import warn

SIZE_TOLERANCE = 0.02


@dataclass(frozen=True)
class GivenMasks:
    """Masks of the objects that start at one frame.

    Attributes:
        ids: ids of the objects, ascending.
        labels: (H, W) uint8 of the size of the frame; 0 where none of ``ids`` is.
        correct: objects that are tracked already may be among them.
    """

    ids: tuple[int, ...]
    labels: np.ndarray
    correct: bool = False

    def one_hot(self) -> np.ndarray:
        """(K, H, W) float32 masks, 1 inside the object and 0 outside."""
        return np.stack([self.labels == value for value in self.ids]).astype(np.float32)


def check_image(image: np.ndarray, size: tuple[int, int] | None, index: int) -> tuple[int, int]:
    """Return (H, W) of a frame; raise :class:`InputError` unless it is (H, W, 3) uint8 and of ``size``."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise InputError(f"frame {index} must be a uint8 RGB array (H, W, 3), got {found}")
    height, width = image.shape[:2]
    if not height or not width:
        raise InputError(f"frame {index} has no pixels: {height}x{width}")
    if size not in (None, (height, width)):
        raise InputError(f"frame {index} is {height}x{width} (height x width) after frames of {size[0]}x{size[1]}: "
                         "all frames of a video need one size; resize it, or start a new session")
    return height, width


def check_prompt(labels: np.ndarray, ids: Iterable[int] | None, *, size: tuple[int, int], tracked: ObjectIds,
                 allow_empty: bool, index: int, correct: bool = False) -> GivenMasks | None:
    """Check the masks that are given for a frame.

    Args:
        labels: (H, W) ids, 0 background; 255 (void) counts as background.
        ids: the ids in ``labels`` that start here; all by default.
        size: (H, W) of the frame. Labels that are off by at most 2 % are resized, with a warning.
        tracked: ids that the video has so far.
        allow_empty: masks without an object are no error: they start nothing, or, if named in ``ids``, objects
            without pixels.
        index: index of the frame, for messages.
        correct: masks of ids that are tracked already replace what was predicted.

    Returns:
        The given masks, or None if nothing starts.

    Raises:
        InputError: wrong type, size or ids, an id that is tracked already or was removed, or no object.
    """
    labels = fit_size(check_labels(labels, index), size, index)
    found = object_ids(labels)
    wanted = found if ids is None else sorted(check_ids(ids))
    if not wanted and allow_empty:
        return None
    missing = [value for value in wanted if value not in found]
    if not wanted or (missing and not allow_empty):
        raise InputError(empty_message(labels, missing, found, index))
    repeated = [value for value in wanted if value in tracked]
    if repeated and not correct:
        raise InputError(f"the mask for frame {index} starts object id {repeated[0]}, which is already tracked "
                         f"(tracked: {list(tracked)}): give a new object a new id, or say that the old one is to be "
                         "corrected (correct=True, --correct)")
    tracked.add(wanted)
    labels = np.where(np.isin(labels, wanted), labels, 0).astype(np.uint8)
    return GivenMasks(tuple(wanted), labels, correct)


def check_labels(labels: np.ndarray, index: int) -> np.ndarray:
    """Return labels as (H, W) uint8, or raise :class:`InputError`."""
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.dtype.kind not in "uib":
        raise InputError(f"the mask for frame {index} must be (H, W) whole numbers (object ids), "
                         f"got {labels.dtype} {labels.shape}")
    if labels.size and (labels.min() < 0 or labels.max() > VOID):
        raise InputError(f"the mask for frame {index} has ids {labels.min()}..{labels.max()}; they must lie in 0..255")
    return labels.astype(np.uint8)


def check_ids(ids: Iterable[int]) -> list[int]:
    """Return ids as a list of ints in 1..254, each once, or raise :class:`InputError`."""
    values = [int(value) for value in ids]
    wrong = [value for value in values if not 1 <= value <= MAX_OBJECTS]
    if wrong:
        raise InputError(f"object ids must lie in 1..{MAX_OBJECTS}, got {wrong[0]}")
    if len(set(values)) != len(values):
        raise InputError(f"an object id is given twice: {values}")
    return values


def fit_size(labels: np.ndarray, size: tuple[int, int], index: int) -> np.ndarray:
    """Resize labels that are off by a few pixels, with a warning; raise :class:`InputError` if they are off by more."""
    if labels.shape == tuple(size):
        return labels
    text = (f"the mask for frame {index} is {labels.shape[0]}x{labels.shape[1]} (height x width), "
            f"the frame {size[0]}x{size[1]}")
    if not labels.size or any(abs(a - b) > SIZE_TOLERANCE * b for a, b in zip(labels.shape, size, strict=True)):
        raise InputError(f"{text}: masks must have the size of their frame")
    warn(f"{text}: resized by nearest neighbour")
    return resize_labels(labels, size)


def empty_message(labels: np.ndarray, missing: list[int], found: list[int], index: int) -> str:
    """Say which object has no pixels, with the likely reason."""
    if missing:
        return f"the mask for frame {index} has no pixel of object id {missing[0]} (ids in it: {found or 'none'})"
    hint = ("its only value besides 0 is 255, which means void: a 0/255 foreground mask must be read as binary"
            if (labels == VOID).any() else "it is all background")
    return f"the mask for frame {index} has no object: {hint}"
