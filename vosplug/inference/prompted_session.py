"""What sessions share that follow given objects, with a network or without."""

from abc import ABC, abstractmethod
from collections.abc import Iterable

import numpy as np

from ..structures import ObjectIds
from ..utils.errors import InputError
from .given_masks import GivenMasks, check_image, check_prompt


class PromptedSession(ABC):
    """The segmentation of one video, frame by frame, from masks of its objects.

    Args:
        allow_empty: given masks without an object are no error.

    Attributes:
        tracked: the objects of the video so far.
        size: (H, W) of the frames, None before the first one.
        frame_index: number of frames seen.
    """

    tracked: ObjectIds

    def __init__(self, *, allow_empty: bool = False):
        self.allow_empty = allow_empty
        self.size: tuple[int, int] | None = None
        self.frame_index = 0

    @property
    def ids(self) -> tuple[int, ...]:
        """Ids of the objects that are tracked, in the order in which they came."""
        return self.tracked.ids

    @abstractmethod
    def step(self, image: np.ndarray, prompt: np.ndarray | None = None, ids: Iterable[int] | None = None,
             last: bool = False, correct: bool = False) -> np.ndarray:
        """Segment the next frame.

        Args:
            image: (H, W, 3) uint8 RGB.
            prompt: (H, W) labels of objects that start at this frame; 0 elsewhere, and 255 (void) counts as 0.
            ids: which ids of ``prompt`` start here; all by default.
            last: no frame follows, so nothing need be memorised.
            correct: ids of ``prompt`` that are tracked already are no error: their masks replace what was predicted,
                and the method begins with them as with new objects.

        Returns:
            (H, W) uint8 labels.

        Raises:
            InputError: wrong type or size, an id that is tracked already or was removed, or a prompt without object.
                The session is then unchanged.
        """

    @abstractmethod
    def remove(self, ids: Iterable[int]) -> None:
        """Stop tracking objects. Their ids cannot be used again in this video.

        Raises:
            InputError: an id is not tracked.
        """

    def accept(self, image: np.ndarray, prompt: np.ndarray | None, ids: Iterable[int] | None,
               correct: bool = False) -> GivenMasks | None:
        """Check what :meth:`step` is given, and take the size of the frame; the masks that start here, if any."""
        size, given = check_image(image, self.size, self.frame_index), None
        if prompt is not None:
            given = check_prompt(prompt, ids, size=size, tracked=self.tracked, allow_empty=self.allow_empty,
                                 index=self.frame_index, correct=correct)
        elif ids is not None:
            raise InputError(f"frame {self.frame_index}: ids are given without a mask")
        self.size = size
        return given
