"""The YouTube-VOS scores as a registered metric."""

from collections.abc import Collection
from typing import Any

import numpy as np
from rich.console import Console

from ...registry import METRICS
from ...structures.video import Video
from ...utils.errors import ConfigError, DataError
from ..functional.youtube_vos import KEYS, VideoScorer, global_scores, scored_frames
from ..report import print_table, youtube_vos_rows
from .video_metric import VideoMetric


@METRICS.register_module()
class YouTubeVOSMetric(VideoMetric):
    """J and F on seen and unseen categories: ``G J_seen J_unseen F_seen F_unseen``.

    Every object is scored on its required frames after the one it first appears in. A number that does not exist (no
    seen or no unseen object) is left out, and then G as well.

    Args:
        seen: categories that count as seen; by default the ``seen_categories`` of the data set (``use_dataset``).
    """

    keys = KEYS

    def __init__(self, seen: Collection[str] | None = None):
        super().__init__()
        self.seen = None if seen is None else frozenset(seen)
        self._scorer: VideoScorer | None = None
        self._given: set[int] = set()

    def use_dataset(self, dataset: Any) -> None:
        """Take ``dataset.seen_categories``, unless the categories were given as an argument."""
        if self.seen is None:
            self.seen = frozenset(getattr(dataset, "seen_categories", None) or ()) or None

    def unscorable(self, video: Video) -> str | None:
        self._need_seen()
        if video.has_reference:
            self._check(video)
        return None

    def start(self, video: Video) -> None:
        super().start(video)
        self._given = set()
        self._scorer = None
        if video.has_reference:
            self._check(video)
            self._scorer = VideoScorer(video.name, video.categories, scored_frames(video.required_frames))

    def _check(self, video: Video) -> None:
        if not video.required_frames or set(video.required_frames) - set(video.categories):
            raise DataError(f"video {video.name}: the YouTube-VOS scores need the category and the required frames of "
                            "every object; score data sets without them with DavisMetric")

    def _score(self, index: int, prediction: np.ndarray, reference: np.ndarray) -> None:
        if index in self._scorer.frames:
            self._scorer.add(index, self.video.frame_name(index), prediction, reference)
            self._given.add(index)

    def _result(self) -> dict:
        self._need(set(self._scorer.frames), self._given)
        return self._scorer.result()

    def compute(self) -> dict[str, float] | None:
        return global_scores(self._results, self._need_seen())

    def table(self, console: Console) -> None:
        scores = self.compute() or {}
        print_table(console, "YouTube-VOS, objects", ("video / object", "category", "set", "J", "F"),
                    youtube_vos_rows(self._results, self._need_seen()), None)
        print_table(console, "YouTube-VOS", ("", *KEYS), [("all objects", [scores.get(key) for key in KEYS])], None)

    def _need_seen(self) -> frozenset[str]:
        if self.seen is None:
            raise ConfigError("YouTubeVOSMetric does not know which categories are seen: give seen=[names], or call "
                              "use_dataset with a data set that has seen_categories")
        return self.seen
