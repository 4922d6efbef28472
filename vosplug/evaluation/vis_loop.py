"""Finds the instances of the videos of a data set and scores their tracks."""

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..inference.prefetch import PrefetchReader
from ..inference.readers import DatasetVideoReader
from ..inference.track_writers import TrackVideoWriter
from ..inference.vis_inferencer import MIN_SCORE
from ..inference.vis_session import VISSession, follow
from ..structures import VISVideo
from ..utils.errors import ConfigError, VosplugError
from ..utils.files import write_json
from .loop import (
    Share,
    VideoEvaluator,
    check_videos,
    distributed,
    evaluation_mode,
    gather,
    portable,
    rank_and_size,
    share_of,
)


class VISEvaluator(VideoEvaluator):
    """Segments whole videos clip by clip, into a metric of tracks and result files.

    Args:
        model: a clip-level model.
        session_options: of :class:`~vosplug.inference.vis_session.VISSession`.
        out_dir: folder for ``results.json``, the tracks as a server takes them, and ``scores.json``.
        show_dir: folder for overlay videos, ``<video>.mp4``.
        show_score: tracks whose mean score so far is lower are not drawn.
        progress: show a progress bar.

    Attributes:
        frames, fps: see :class:`VideoEvaluator`.
    """

    def __init__(self, model: Any, *, session_options: dict | None = None, out_dir: str | Path | None = None,
                 show_dir: str | Path | None = None, show_score: float = MIN_SCORE, progress: bool = True):
        super().__init__(model, out_dir=out_dir, show_dir=show_dir, progress=progress)
        self.session_options = {**(session_options or {}), "keep_masks": True}
        self.show_score = show_score

    def run(self, dataset: Any, metric: Any) -> dict[str, float] | None:
        """Segment all videos of ``dataset``; the numbers, or None where a video has no annotations.

        Raises:
            VosplugError: a video cannot be read or segmented. What other videos gave is in ``out_dir``.
        """
        videos = dataset.videos()
        check_videos(videos)
        classes = getattr(self.model, "num_classes", len(dataset.category_ids))
        if classes != len(dataset.category_ids):
            raise ConfigError(f"the model has {classes} classes, the data set {len(dataset.category_ids)}: set "
                              "model.num_classes to the number of categories that it was trained with")
        metric.use_dataset(dataset)
        with evaluation_mode(self.model):
            share = self._work(share_of(videos, *rank_and_size()), metric, dataset)
        shares = gather(share)
        self._count(shares)
        for other in shares:
            metric.load_results(other.results)
        if self.out_dir is not None and rank_and_size()[0] == 0:
            write_json(self.out_dir / "results.json", metric.predictions())
        failed = next((s.error for s in shares if s.error is not None), None)
        if failed is not None:
            raise failed
        if not all(video.has_reference for video in videos):
            return None
        scores = metric.compute()
        if scores is not None and self.out_dir is not None and rank_and_size()[0] == 0:
            write_json(self.out_dir / "scores.json", scores)
        return scores

    def _work(self, videos: list[VISVideo], metric: Any, dataset: Any) -> Share:
        share = Share(results={})
        try:
            with self._bar(sum(map(len, videos))) as advance:
                for video in videos:
                    metric.start(video)
                    metric.add_tracks(self._tracks(video, dataset, share, advance))
                    share.results[video.name] = metric.finish()
        except Exception as error:  # the other processes wait in gather()
            share.error = error if isinstance(error, VosplugError) or not distributed() else portable(error)
        return share

    def _tracks(self, video: VISVideo, dataset: Any, share: Share, advance: Any) -> list[dict]:
        session = VISSession(self.model, **self.session_options)
        with contextlib.ExitStack() as stack:
            reader = stack.enter_context(PrefetchReader(DatasetVideoReader(video)))
            pictures = None
            if self.show_dir is not None:
                pictures = stack.enter_context(TrackVideoWriter(self.show_dir / f"{video.name}.mp4"))
            try:
                for frame, masks in follow(session, reader):
                    share.frames += 1
                    if pictures is not None:
                        pictures.write(frame, [replace(mask, category=dataset.classes[mask.label]) for mask in masks
                                               if mask.score >= self.show_score])
                    advance()
                tracks = session.finish()
            except VosplugError as error:
                raise type(error)(f"video {video.name}: {error}") from error
        share.seconds += session.seconds
        return [dict(category_id=dataset.category_ids[t["label"]], score=t["score"], segmentations=t["segmentations"])
                for t in tracks]


def evaluate_tracks(model: Any, dataset: Any, metric: Any, *, session_options: dict | None = None,
                    out_dir: str | Path | None = None, show_dir: str | Path | None = None,
                    progress: bool = True) -> dict[str, float] | None:
    """Find and score the tracks of all videos of a data set; see :class:`VISEvaluator`."""
    evaluator = VISEvaluator(model, session_options=session_options, out_dir=out_dir, show_dir=show_dir,
                             progress=progress)
    return evaluator.run(dataset, metric)
