"""Baselines without learning: whatever is trained has to beat them."""

from collections.abc import Iterable

import cv2
import numpy as np

from ..structures import ObjectIds
from ..utils.errors import InputError, did_you_mean
from .given_masks import check_ids
from .prompted_session import PromptedSession


class BaselineSession(PromptedSession):
    """A video segmented without a network.

    Args:
        allow_empty: given masks without an object are no error.
    """

    def __init__(self, *, allow_empty: bool = False):
        super().__init__(allow_empty=allow_empty)
        self.tracked = ObjectIds()
        self.labels: np.ndarray | None = None

    def step(self, image: np.ndarray, prompt: np.ndarray | None = None, ids: Iterable[int] | None = None,
             last: bool = False, correct: bool = False) -> np.ndarray:
        """See :meth:`PromptedSession.step`."""
        given = self.accept(image, prompt, ids, correct)
        labels = np.zeros(self.size, np.uint8) if self.labels is None else self.propagate(image, self.labels)
        if given is not None:
            self.tracked = self.tracked.add(given.ids)
            labels = np.where(np.isin(labels, given.ids), 0, labels)  # of objects that are corrected
            labels = np.where(given.labels > 0, given.labels, labels).astype(np.uint8)
        self.remember(image, labels)
        self.labels = labels
        self.frame_index += 1
        return labels.copy()

    def remove(self, ids: Iterable[int]) -> None:
        """See :meth:`PromptedSession.remove`."""
        values = check_ids(ids)
        self.tracked = self.tracked.remove(values)
        if self.labels is not None:
            self.labels = np.where(np.isin(self.labels, values), 0, self.labels).astype(np.uint8)

    def propagate(self, image: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Labels (H, W) of this frame from those of the frame before it."""
        raise NotImplementedError(f"{type(self).__name__} does not say how labels are propagated")

    def remember(self, image: np.ndarray, labels: np.ndarray) -> None:
        """Keep what the next frame needs; nothing by default."""


class CopySession(BaselineSession):
    """Copies the given masks to all frames that follow."""

    def propagate(self, image: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """The labels as they are."""
        return labels


class FlowSession(BaselineSession):
    """Warps masks from frame to frame by optical flow.

    The flow is OpenCV's DIS (Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016), medium preset,
    from each frame back to the one before it, so that every pixel has a source. Each mask is sampled bilinearly, and a
    pixel goes to the largest.
    """

    def __init__(self, *, allow_empty: bool = False):
        super().__init__(allow_empty=allow_empty)
        self.dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self.previous: np.ndarray | None = None

    def propagate(self, image: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Labels (H, W) pulled along the flow."""
        height, width = labels.shape
        flow = self.dis.calc(grey(image), self.previous, None)
        columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        source = (columns + flow[..., 0], rows + flow[..., 1])
        values = np.array([0, *self.ids], np.uint8)
        warped = [cv2.remap((labels == value).astype(np.float32), *source, cv2.INTER_LINEAR,
                            borderMode=cv2.BORDER_REPLICATE) for value in values]
        return values[np.argmax(warped, axis=0)]

    def remember(self, image: np.ndarray, labels: np.ndarray) -> None:
        """Keep the grey frame."""
        self.previous = grey(image)


def grey(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB -> (H, W) uint8."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


class Baseline:
    """A model without weights, for everything that takes a model and makes sessions of it.

    Args:
        name: ``copy`` or ``flow``.
    """

    family = "vos"
    kinds = {"copy": CopySession, "flow": FlowSession}

    def __init__(self, name: str):
        if name not in self.kinds:
            raise InputError(f"unknown baseline {name!r}.{did_you_mean(name, self.kinds)} "
                             f"Known: {', '.join(self.kinds)}.")
        self.name = name

    def new_session(self, *, allow_empty: bool = False) -> BaselineSession:
        """A session for a new video."""
        return self.kinds[self.name](allow_empty=allow_empty)
