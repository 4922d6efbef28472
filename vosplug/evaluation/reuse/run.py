"""A data set through a gated model, once."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import nn

from ...structures import Decision, StepOutput, Video
from ...utils.errors import InputError
from ..functional.davis import global_scores
from ..metrics.video_metric import VideoMetric
from ..vos_evaluator import VOSEvaluator
from ..work_report import WorkReport, observing
from .perfect import perfect_frames
from .reference_masks import ReferenceMasks
from .setting import PLANNED, GateSetting, deciding


@dataclass(frozen=True)
class Choice:
    """What was decided about an object on a frame that left a choice.

    Attributes:
        video, value, frame: which video, object and frame.
        probability: of reuse.
        iou: of the reference masks on this frame and on the last one that was computed for the object.
        reused: whether it was.
    """

    video: str
    value: int
    frame: int
    probability: float
    iou: float
    reused: bool


@dataclass
class GateRun:
    """What came out.

    Attributes:
        setting: how the model decided.
        scores: the table of the metric.
        results: video -> the metric's result.
        work: rates and multiply-accumulates.
        fps, fps_mean, first_frame_ms: see :class:`~vosplug.evaluation.evaluator.Evaluator`.
        choices: of all videos.
    """

    setting: GateSetting
    scores: dict[str, float]
    results: dict[str, dict]
    work: WorkReport
    fps: float | None
    fps_mean: float | None
    first_frame_ms: float | None
    choices: list[Choice] = field(default_factory=list)

    def as_json(self) -> dict:
        """Numbers of the set, and of each video."""
        videos = {name: {"J&F-Mean": global_scores({name: self.results[name]})["J&F-Mean"], **values}
                  for name, values in self.work.by_video().items()}
        rho = rank_correlation([c.probability for c in self.choices], [c.iou for c in self.choices])
        for name, values in videos.items():
            mine = [c for c in self.choices if c.video == name]
            values["rho"] = rank_correlation([c.probability for c in mine], [c.iou for c in mine])
        total = self.work.reuse.total()
        return {**self.setting.as_json(), **self.scores, **self.work.numbers(), "later_frames": total.frames,
                "reused": total.reused, "fps": self.fps,
                "fps_mean": self.fps_mean, "first_frame_ms": self.first_frame_ms, "rho": rho,
                "mean_probability": self.mean_probability(), "videos": videos, "J_by_frame": self.region_by_frame()}

    def mean_probability(self) -> float | None:
        """Mean P of the rows that had a choice; None if none had."""
        return sum(c.probability for c in self.choices) / len(self.choices) if self.choices else None

    def region_by_frame(self) -> list[float]:
        """Mean J of the objects on each scored frame, over the videos that have so many."""
        curves = [entry["J"] for result in self.results.values() for entry in result["objects"].values()]
        longest = max(map(len, curves), default=0)
        return [float(np.mean([curve[t] for curve in curves if t < len(curve)])) for t in range(longest)]


class ChoiceWatch:
    """Compares decisions with reference masks, frame by frame.

    Attributes:
        choices: so far.
    """

    def __init__(self):
        self.choices: list[Choice] = []
        self.masks: ReferenceMasks | None = None
        self.frame = 0
        self.full: dict[int, int] = {}  # object -> its last computed frame

    def begin(self, masks: ReferenceMasks) -> None:
        """A video begins."""
        self.masks, self.frame, self.full = masks, 0, dict(masks.starts)

    def see(self, output: StepOutput) -> None:
        """Take a frame; rows that are no single objects have no IoU."""
        for note in output.noted(Decision):
            rows = zip(note.keys, note.reused.tolist(), note.probability.tolist(), note.forced.tolist(), strict=True)
            for (_, value), reused, probability, forced in rows:
                if value not in self.full:
                    continue
                if not forced:
                    iou = self.masks.iou(value, self.frame, self.full[value])
                    self.choices.append(Choice(self.masks.video.name, value, self.frame, probability, iou, reused))
                if not reused:
                    self.full[value] = self.frame
        self.frame += 1


def run_setting(model: nn.Module, dataset: Any, metric: VideoMetric, setting: GateSetting, *,
                session_options: Mapping[str, Any] | None = None, perfect: bool = False,
                recorder: Any = None, progress: bool = True) -> GateRun:
    """Segment and score a data set.

    Args:
        model: a :class:`~vosplug.models.segmentors.ReuseGated`.
        dataset: videos with a reference mask of each frame.
        metric: a fresh one of DAVIS.
        setting: how the model decides.
        session_options: see :class:`~vosplug.inference.VOSSession`; one view.
        perfect: computed frames have their reference masks.
        recorder: is told the video, see :func:`~.pictures.recording`.
        progress: show a bar.

    Raises:
        InputError: the model has no gate, or its rows are no single objects, which an oracle needs.
        DataError: a frame has no reference mask.
    """
    evaluator = VOSEvaluator(model, session_options=session_options, progress=progress)
    watch, work = ChoiceWatch(), WorkReport()
    with ExitStack() as stack:
        stack.enter_context(deciding(model, setting))
        blind = setting.mode == "copy" and setting.gate in PLANNED
        frames = stack.enter_context(perfect_frames(model, blind)) if perfect else None

        def begin(video: Video) -> None:
            masks = ReferenceMasks(video)
            if setting.gate == "oracle":
                model.gate.table = masks.oracle(setting.tau, setting.reference, setting.max_reuse)
            for listener in (frames, recorder):
                if listener is not None:
                    listener.video = video
            work.video = video.name
            watch.begin(masks)

        evaluator.on_video = begin
        stack.enter_context(observing(model, watch.see))
        stack.enter_context(work.watch(model, count=True))
        scores = evaluator.run(dataset, metric)
    if scores is None:
        raise InputError("there are no reference masks to score against")
    return GateRun(setting, scores, metric.results(), work, evaluator.fps, evaluator.fps_mean,
                   evaluator.first_frame_ms, watch.choices)


def rank_correlation(a: list[float], b: list[float]) -> float | None:
    """Spearman's rho; None where one of the two is constant."""
    if len(a) < 2:
        return None
    from scipy.stats import rankdata

    ranks = [rankdata(values) for values in (a, b)]
    if any(np.ptp(values) == 0 for values in ranks):
        return None
    return float(np.corrcoef(*ranks)[0, 1])
