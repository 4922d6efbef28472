"""The DAVIS table as a registered metric."""

import numpy as np
from rich.console import Console

from ...registry import METRICS
from ...structures.video import Video
from ...utils.errors import DataError
from ..functional.davis import KEYS, SequenceScorer, check_protocol, global_scores, scored_frames
from ..report import davis_rows, print_table
from .video_metric import VideoMetric


@METRICS.register_module()
class DavisMetric(VideoMetric):
    """J and F of DAVIS (semi-supervised): ``J&F-Mean J-Mean J-Recall J-Decay F-Mean F-Recall F-Decay``.

    The first and the last frame of a video are not scored. The number of objects is the largest id of the first
    reference; objects that start later do not count.

    Args:
        protocol: "2017" scores every object on its own, "2016" one foreground per video.
    """

    keys = KEYS

    def __init__(self, protocol: str = "2017"):
        super().__init__()
        self.protocol = check_protocol(protocol)
        self._scorer: SequenceScorer | None = None
        self._given: set[int] = set()

    def start(self, video: Video) -> None:
        super().start(video)
        self._scorer = None
        self._given = set()

    def _score(self, index: int, prediction: np.ndarray, reference: np.ndarray) -> None:
        scorer = self._need_scorer(reference if index == 0 else None)
        if index in scored_frames(len(self.video)):
            if index in self._given:
                raise DataError(f"video {self.video.name}: frame {self.video.frame_name(index)} was given twice")
            scorer.add(self.video.frame_name(index), prediction, reference)
            self._given.add(index)

    def _result(self) -> dict:
        self._need(set(scored_frames(len(self.video))), self._given)
        return self._need_scorer(None).result()

    def _need_scorer(self, first_reference: np.ndarray | None) -> SequenceScorer:
        if self._scorer is None:
            if first_reference is None:
                first_reference = self.video.read_labels(0)
            if first_reference is None:
                raise DataError(f"video {self.video.name}: the first frame has no reference, which tells the objects")
            self._scorer = SequenceScorer(self.video.name, first_reference, self.protocol)
        return self._scorer

    def compute(self) -> dict[str, float] | None:
        return global_scores(self._results)

    def table(self, console: Console) -> None:
        scores = self.compute()
        total = ("all objects", [scores[key] for key in KEYS]) if scores else None
        print_table(console, f"DAVIS {self.protocol}", ("sequence", *KEYS), davis_rows(self._results, KEYS), total)
