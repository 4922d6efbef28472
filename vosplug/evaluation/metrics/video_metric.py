"""What every metric of videos has in common."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from rich.console import Console

from ...structures.video import Video
from ...utils.errors import DataError, InputError


class VideoMetric(ABC):
    """Scores videos frame by frame; several videos may be scored by several processes and merged.

    The order of calls is ``start(video)``, ``update(...)`` once per frame that was predicted, ``finish()``; then the
    next video. ``compute()`` gives the numbers over all videos that this object knows of, those of other processes
    included (``load_results``). Numbers do not depend on the order of the videos.
    """

    keys: tuple[str, ...] = ()
    family = "vos"  # of models whose videos it scores

    def __init__(self):
        self.video: Video | None = None
        self._results: dict[str, dict] = {}

    def use_dataset(self, dataset: Any) -> None:  # noqa: B027 (a metric that needs nothing of it leaves it out)
        """Take from a data set what the metric needs beyond the videos; to be called before the first video."""

    def unscorable(self, video: Any) -> str | None:
        """Why a video that has a reference cannot be scored, told before anything is segmented; None if it can."""
        return None

    def start(self, video: Video) -> None:
        """Begin a video. A video that was begun and not finished is dropped."""
        self.video = video

    def update(self, index: int, prediction: np.ndarray, reference: np.ndarray | None) -> None:
        """Take frame ``index`` of the video; the metric decides whether it is scored.

        Args:
            index: of the frame in the video.
            prediction: (H, W) uint8 ids.
            reference: (H, W) uint8 ids, or None where there is none; such frames are not scored.

        Raises:
            DataError: the sizes differ, or the prediction has an id that the video does not have.
        """
        if self.video is None:
            raise InputError(f"{type(self).__name__}.update was called before start(video)")
        if not 0 <= index < len(self.video):
            raise InputError(f"video {self.video.name} has {len(self.video)} frames, there is no frame {index}")
        if reference is not None and self.video.has_reference:
            self._score(index, prediction, reference)

    def finish(self) -> dict:
        """End the video and return its result, which JSON can hold; the metric keeps it as well.

        A video without any reference has an empty result.

        Raises:
            DataError: a frame that is scored was not given.
        """
        if self.video is None:
            raise InputError(f"{type(self).__name__}.finish was called before start(video)")
        result = self._result() if self.video.has_reference else {"objects": {}}
        self._results[self.video.name] = result
        self.video = None
        return result

    def results(self) -> dict[str, dict]:
        """Results of all videos by name."""
        return dict(self._results)

    def load_results(self, results: dict[str, dict]) -> None:
        """Add results of videos that another process scored.

        Raises:
            DataError: a video is known already with another result.
        """
        for name, result in results.items():
            if self._results.setdefault(name, result) != result:
                raise DataError(f"video {name} was scored twice with different results; give every video one name, and "
                                "score it with one model")

    @abstractmethod
    def compute(self) -> dict[str, float] | None:
        """The numbers over all videos, or None if no video had a reference."""

    @abstractmethod
    def table(self, console: Console) -> None:
        """Print the result of every video and the total."""

    @abstractmethod
    def _score(self, index: int, prediction: np.ndarray, reference: np.ndarray) -> None:
        """Take a frame that has a reference."""

    @abstractmethod
    def _result(self) -> dict:
        """Result of the current video, which has a reference."""

    def _need(self, expected: set[int], given: set[int]) -> None:
        """Raise :class:`DataError` if an expected frame was not given."""
        missing = sorted(expected - given)
        if missing:
            raise DataError(f"video {self.video.name}: frame {self.video.frame_name(missing[0])} is scored but was not "
                            f"predicted or has no reference ({len(missing)} such frames)")
