"""The one evaluation loop: videos of a data set through sessions, into a metric and into files."""

import contextlib
import statistics
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from ..utils.checkpoint import unwrapped
from ..utils.errors import DataError, VosplugError
from ..utils.names import check_names
from ..utils.notices import warn
from ..utils.progress import progress_bar
from .metrics.video_metric import VideoMetric


@dataclass
class Share:
    """What one process did.

    Attributes:
        results: per-video results of the metric.
        frames, seconds: frames segmented and the time that this took.
        videos: name -> (frames, seconds, seconds of the first frame) of each video, where there are such times.
        error: the exception that ended the work, if any.
    """

    results: dict
    frames: int = 0
    seconds: float = 0.0
    videos: dict[str, tuple[int, float, float]] = field(default_factory=dict)
    error: Exception | None = None


class Evaluator(ABC):
    """Segments the videos of a data set and scores them.

    In a distributed run every process takes a share of the videos, and all return the numbers of all of them. The model
    is left in the mode (training or evaluation) that it was in.

    Args:
        model: what sessions are made of.
        session_options: options of the sessions.
        out_dir: folder for what is found, and for the numbers.
        show_dir: folder for overlay videos, ``<video>.mp4``.
        progress: show a progress bar.

    Attributes:
        on_video: called with each video before its first frame.
        frames: number of frames segmented, by all processes.
        fps: frames per second of one process, reading and writing not counted; None before a run.
        fps_mean: mean over the videos of their frames per second; None where single videos have no time.
        first_frame_ms: mean time of a first frame, on which a method may learn for a while; None likewise.
    """

    def __init__(self, model: Any, *, session_options: Mapping[str, Any] | None = None,
                 out_dir: str | Path | None = None, show_dir: str | Path | None = None, progress: bool = True):
        self.model = unwrapped(model)
        self.session_options = dict(session_options or {})
        self.out_dir = None if out_dir is None else Path(out_dir)
        self.show_dir = None if show_dir is None else Path(show_dir)
        self.progress = progress
        self.on_video: Callable[[Any], None] = lambda video: None
        self.frames = 0
        self.fps: float | None = None
        self.fps_mean: float | None = None
        self.first_frame_ms: float | None = None

    # What a family of models says --------------------------------------------------------------------------------

    @abstractmethod
    def check(self, dataset: Any, videos: Sequence[Any]) -> None:
        """Raise :class:`VosplugError` if the videos cannot be segmented by the model, or not into ``out_dir``."""

    @abstractmethod
    def segment(self, video: Any, dataset: Any, metric: VideoMetric | None, share: Share,
                advance: Callable[[], None]) -> dict | None:
        """Segment one video and write what is found; its result, or None where it is not scored.

        Args:
            share: counts frames and seconds.
            advance: to be called after each frame.
        """

    def write_results(self, metric: VideoMetric) -> None:  # noqa: B027 (not all families have such a file)
        """Write what is known of all videos, also if one of them failed; called by the first process."""

    @abstractmethod
    def write_scores(self, scores: dict | None, metric: VideoMetric) -> None:
        """Write the numbers to ``out_dir``; called by the first process."""

    # The loop ----------------------------------------------------------------------------------------------------

    def run(self, dataset: Any, metric: VideoMetric | None) -> dict[str, float] | None:
        """Segment, score and write all videos of ``dataset``.

        Args:
            dataset: the videos.
            metric: a fresh metric; None only writes.

        Returns:
            The numbers of the metric, or None without a metric or a reference.

        Raises:
            VosplugError: a video cannot be read, segmented or written. What other videos gave is in ``out_dir``.
        """
        videos = dataset.videos()
        left_out = self.prepare(dataset, videos, metric)
        with evaluation_mode(self.model):
            share = self._work(share_of(videos, *rank_and_size()), dataset, metric, left_out)
        shares = gather(share)
        self._count(shares)
        writes = metric is not None and self.out_dir is not None and rank_and_size()[0] == 0
        for other in shares if metric is not None else ():
            metric.load_results(other.results)
        if writes:
            self.write_results(metric)
        failed = next((s.error for s in shares if s.error is not None), None)
        if failed is not None:
            raise failed
        if metric is None or not all(video.has_reference for video in videos if video.name not in left_out):
            return None
        scores = metric.compute()
        if writes:
            self.write_scores(scores, metric)
        return scores

    def prepare(self, dataset: Any, videos: Sequence[Any], metric: VideoMetric | None) -> set[str]:
        """Refuse now what could not be segmented or scored; what cannot be scored beside others gets a word of warning.

        Returns:
            Names of the videos that are not scored.

        Raises:
            VosplugError: the videos do not fit the model or the output, or none of them can be scored.
        """
        check_videos(videos)
        self.check(dataset, videos)
        if metric is None:
            return set()
        metric.use_dataset(dataset)
        reasons = {video.name: reason for video in videos if (reason := metric.unscorable(video))}
        if len(reasons) == len(videos):
            name, reason = next(iter(reasons.items()))
            raise DataError(f"no video can be scored: {name} {reason}")
        for name, reason in reasons.items():
            warn(f"video {name} {reason}: it is not scored, the numbers are those of the other videos")
        return set(reasons)

    def _work(self, videos: Sequence[Any], dataset: Any, metric: VideoMetric | None, left_out: set[str]) -> Share:
        if self.out_dir is None and self.show_dir is None:
            videos = [video for video in videos if video.name not in left_out]
        share, total = Share(results={}), sum(map(len, videos))
        shown = bool(self.progress and total and rank_and_size()[0] == 0)
        try:
            with progress_bar("segmenting", total, "frames", shown=shown) as advance:
                for video in videos:
                    self.on_video(video)
                    result = self.segment(video, dataset, None if video.name in left_out else metric, share, advance)
                    if result is not None:
                        share.results[video.name] = result
        except Exception as error:
            # The other processes wait for this one in gather(): it has to get there, with the reason.
            share.error = error if isinstance(error, VosplugError) or not distributed() else portable(error)
        return share

    def _count(self, shares: Sequence[Share]) -> None:
        self.frames = sum(share.frames for share in shares)
        seconds = sum(share.seconds for share in shares)
        self.fps = self.frames / seconds if seconds else None
        times = [times for share in shares for times in share.videos.values() if times[1]]
        if times:
            self.fps_mean = statistics.fmean(frames / seconds for frames, seconds, _ in times)
            self.first_frame_ms = 1000 * statistics.fmean(first for _, _, first in times)


def share_of(videos: Sequence[Any], rank: int, size: int) -> list[Any]:
    """The videos of one of ``size`` processes: the longest first, each to the process with the fewest frames so far."""
    loads = [0] * size
    mine = []
    for video in sorted(videos, key=len, reverse=True):
        owner = loads.index(min(loads))
        loads[owner] += len(video)
        if owner == rank:
            mine.append(video)
    return mine


def distributed() -> bool:
    """Whether this process is one of a running group."""
    return dist.is_available() and dist.is_initialized()


def rank_and_size() -> tuple[int, int]:
    """Number of this process and number of processes."""
    return (dist.get_rank(), dist.get_world_size()) if distributed() else (0, 1)


def gather(share: Share) -> list[Share]:
    """What every process did, on every process."""
    if not distributed():
        return [share]
    shares: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(shares, share)
    return shares


def portable(error: Exception) -> Exception:
    """An exception that can be sent to other processes, whatever the original holds."""
    return RuntimeError(f"process {dist.get_rank()} failed with {type(error).__name__}: {error}")


@contextlib.contextmanager
def naming(video: Any) -> Iterator[None]:
    """Name the video in an error that a user can cause."""
    try:
        yield
    except VosplugError as error:
        raise type(error)(f"video {video.name}: {error}") from error


@contextlib.contextmanager
def evaluation_mode(model: Any) -> Iterator[None]:
    """Evaluation mode for a while; models that are no networks are left alone."""
    if not isinstance(model, torch.nn.Module):
        yield
        return
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def check_videos(videos: Sequence[Any]) -> None:
    """Raise :class:`DataError` unless there are videos, and each has a name of its own that can name a folder."""
    if not videos:
        raise DataError("the data set has no videos")
    names = [video.name for video in videos]
    check_names(names, "the data set")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"two videos are called {twice}: results and folders are named by the video")
