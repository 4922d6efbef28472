"""The reference masks of a video, compared with each other: the truth that a reuse gate estimates."""

from functools import lru_cache

import numpy as np

from ...structures import Video
from ...utils.errors import DataError

REFERENCES = ("previous", "last_full")
"""With which frame an oracle compares: the one before, or the last one that was computed for the object."""


class ReferenceMasks:
    """IoUs between the reference masks of an object on frames of a video; 0 where both are empty (``empty_iou``).

    Args:
        video: with a reference mask of each frame.

    Raises:
        DataError: a frame has none.
    """

    def __init__(self, video: Video):
        if None in video.mask_paths:
            frame = video.frame_name(list(video.mask_paths).index(None))
            raise DataError(f"video {video.name}: frame {frame} has no reference mask, which an oracle and true IoUs "
                            "need")
        self.video = video
        self.starts = {value: frame for frame, values in video.prompts.items() for value in values}
        self.mask = lru_cache(maxsize=256)(self._mask)  # of this video alone

    def _mask(self, value: int, frame: int) -> np.ndarray:
        return np.packbits(self.video.read_labels(frame) == value)

    def iou(self, value: int, frame: int, other: int) -> float:
        """IoU of the masks of the object ``value`` on two frames."""
        a, b = self.mask(value, frame), self.mask(value, other)
        union = count(a | b)
        return count(a & b) / union if union else 0.0

    def consecutive(self) -> list[float]:
        """IoUs of each object on each of its later frames with the frame before."""
        return [self.iou(value, frame, frame - 1) for value, start in self.starts.items()
                for frame in range(start + 1, len(self.video))]

    def oracle(self, tau: float, reference: str, max_reuse: int | None = None) -> dict[int, list[float]]:
        """The table of :class:`~vosplug.models.gates.ScheduledGate`: object -> IoU on each frame of the video.

        Args:
            tau: where a frame is reused, since the last computed frame depends on it: above, at 1 never, at 0 always.
            reference: one of ``REFERENCES``.
            max_reuse: frames in a row that may be reused.
        """
        return {value: self._follow(value, start, tau, reference, max_reuse) for value, start in self.starts.items()}

    def _follow(self, value: int, start: int, tau: float, reference: str, max_reuse: int | None) -> list[float]:
        table, full = [0.0] * len(self.video), start
        for frame in range(start + 1, len(self.video)):
            table[frame] = self.iou(value, frame, frame - 1 if reference == "previous" else full)
            allowed = max_reuse is None or frame - full <= max_reuse
            if not (allowed and (tau <= 0 or (tau < 1 and table[frame] > tau))):
                full = frame
        return table


def count(bits: np.ndarray) -> int:
    """Number of bits that are set in bytes."""
    return int(np.unpackbits(bits).sum())
