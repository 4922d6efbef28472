"""The one evaluation path: videos of a data set through a session, into a metric and into files."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..inference.prefetch import PrefetchReader
from ..inference.readers import DatasetVideoReader, Frame
from ..inference.session import new_session
from ..inference.video_writer import OverlayVideoWriter
from ..inference.writers import FrameWriter, MaskFolderWriter
from ..structures import Video, VideoDataset
from ..utils.errors import DataError, InputError, VosplugError
from ..utils.files import write_json
from ..utils.names import check_names
from .metrics.video_metric import VideoMetric


def evaluate_videos(model: Any, dataset: VideoDataset, metric: VideoMetric | None, *,
                    session_options: dict | None = None, out_dir: str | Path | None = None,
                    show_dir: str | Path | None = None, progress: bool = True) -> dict[str, float] | None:
    """Segment all videos of a data set and score them.

    In a distributed run every process takes a share of the videos, and all return the numbers of all of them. The model
    is left in the mode (training or evaluation) that it was in.

    Args:
        model: a segmentor, or anything with ``new_session(**options)`` (a baseline).
        dataset: the videos.
        metric: a fresh metric; None only writes.
        session_options: options of :class:`~vosplug.inference.VOSSession`.
        out_dir: folder for palette PNGs, ``<video>/<frame>.png``, and for ``results.json``.
        show_dir: folder for overlay videos, ``<video>.mp4``.
        progress: show a progress bar.

    Returns:
        The numbers of the metric, or None without a metric or a reference.

    Raises:
        VosplugError: a video cannot be read, segmented or written. What other videos gave is in ``out_dir``.
    """
    evaluator = VideoEvaluator(model, session_options=session_options, out_dir=out_dir, show_dir=show_dir,
                               progress=progress)
    return evaluator.run(dataset, metric)


@dataclass
class Share:
    """What one process did.

    Attributes:
        results: per-video results of the metric.
        frames, seconds: frames segmented and the time that this took.
        error: the exception that ended the work, if any.
    """

    results: dict
    frames: int = 0
    seconds: float = 0.0
    error: Exception | None = None


class VideoEvaluator:
    """Segments and scores videos; see :func:`evaluate_videos` for the arguments.

    Attributes:
        frames: number of frames segmented, by all processes.
        fps: frames per second of one process, reading and writing not counted; None before a run.
    """

    def __init__(self, model: Any, *, session_options: dict | None = None, out_dir: str | Path | None = None,
                 show_dir: str | Path | None = None, progress: bool = True):
        self.model = model
        self.session_options = {"allow_empty": True, **(session_options or {})}
        self.out_dir = None if out_dir is None else Path(out_dir)
        self.show_dir = None if show_dir is None else Path(show_dir)
        self.progress = progress
        self.frames = 0
        self.fps: float | None = None

    def run(self, dataset: VideoDataset, metric: VideoMetric | None) -> dict[str, float] | None:
        """Segment, score and write all videos of ``dataset``."""
        videos = dataset.videos()
        check_videos(videos)
        check_out_dir(self.out_dir, videos)
        if metric is not None:
            metric.use_dataset(dataset)
        with evaluation_mode(self.model):
            share = self._work(share_of(videos, *rank_and_size()), metric)
        shares = gather(share)
        self._count(shares)
        failed = next((s.error for s in shares if s.error is not None), None)
        if failed is not None:
            raise failed
        if metric is None or not all(video.has_reference for video in videos):
            return None
        for other in shares:
            metric.load_results(other.results)
        scores = metric.compute()
        self._write_results(scores, metric)
        return scores

    def _work(self, videos: Sequence[Video], metric: VideoMetric | None) -> Share:
        share = Share(results={})
        try:
            with self._bar(sum(map(len, videos))) as advance:
                for video in videos:
                    result = self._segment(video, metric, share, advance)
                    if result is not None:
                        share.results[video.name] = result
        except Exception as error:
            # The other processes wait for this one in gather(): it has to get there, with the reason.
            share.error = error if isinstance(error, VosplugError) or not distributed() else portable(error)
        return share

    def _segment(self, video: Video, metric: VideoMetric | None, share: Share, advance: Any) -> dict | None:
        wanted = set(range(len(video)) if video.output_frames is None else video.output_frames)
        if metric is not None:
            metric.start(video)
        with contextlib.ExitStack() as stack:
            masks, pictures = self._writers(video, stack)
            for frame, labels in self._labels(video, share):
                if frame.index in wanted:
                    if masks is not None:
                        masks.write(frame, labels)
                    if metric is not None:
                        reference = video.read_labels(frame.index) if video.has_reference else None
                        metric.update(frame.index, labels, reference)
                if pictures is not None:
                    pictures.write(frame, labels)
                advance()
        if metric is None or not video.has_reference:
            return None
        result = metric.finish()
        if self.out_dir is not None:
            write_json(self._part(video.name), result)
        return result

    def _labels(self, video: Video, share: Share) -> Iterator[tuple[Frame, np.ndarray]]:
        session = new_session(self.model, **self.session_options)
        final = len(video) - 1
        with PrefetchReader(DatasetVideoReader(video)) as reader:
            for frame in reader:
                prompt = video.read_prompt(frame.index)
                ids = None if prompt is None else video.prompts[frame.index]
                begin = time.perf_counter()
                labels = with_context(video, session.step, frame.image, prompt, ids, last=frame.index == final)
                share.seconds += time.perf_counter() - begin
                share.frames += 1
                yield frame, labels

    def _writers(self, video: Video, stack: contextlib.ExitStack) -> tuple[FrameWriter | None, FrameWriter | None]:
        masks = pictures = None
        if self.out_dir is not None:
            masks = stack.enter_context(MaskFolderWriter(self.out_dir / video.name))
        if self.show_dir is not None:
            pictures = stack.enter_context(OverlayVideoWriter(self.show_dir / f"{video.name}.mp4"))
        return masks, pictures

    def _part(self, name: str) -> Path:
        return self.out_dir / "results" / f"{name}.json"

    def _write_results(self, scores: dict | None, metric: VideoMetric) -> None:
        if self.out_dir is not None and rank_and_size()[0] == 0:
            write_json(self.out_dir / "results.json", {"scores": scores, "videos": metric.results()})

    def _count(self, shares: Sequence[Share]) -> None:
        self.frames = sum(share.frames for share in shares)
        seconds = sum(share.seconds for share in shares)
        self.fps = self.frames / seconds if seconds else None

    @contextlib.contextmanager
    def _bar(self, total: int) -> Iterator[Any]:
        if not self.progress or rank_and_size()[0] != 0 or not total:
            yield lambda: None
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("frames"),
                   TimeRemainingColumn())
        with Progress(*columns) as bar:
            task = bar.add_task("segmenting", total=total)
            yield lambda: bar.advance(task)


def share_of(videos: Sequence[Video], rank: int, size: int) -> list[Video]:
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


def with_context(video: Video, function: Any, *args: Any, **options: Any) -> Any:
    """Call ``function``; an error that a user can cause is named with its video."""
    try:
        return function(*args, **options)
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


def check_out_dir(out_dir: Path | None, videos: Sequence[Video]) -> None:
    """Raise :class:`InputError` if the masks of a video would go into the folder of its pictures or masks."""
    for video in () if out_dir is None else videos:
        folder = (out_dir / video.name).resolve()
        paths = (video.image_paths[0], *video.mask_paths, *video.prompt_paths.values())
        if any(Path(path).parent.resolve() == folder for path in paths if path is not None):
            raise InputError(f"{out_dir / video.name} is the folder of an input, which would be overwritten: choose "
                             "another output folder")


def check_videos(videos: Sequence[Video]) -> None:
    """Raise :class:`DataError` unless there are videos, and each has a name of its own that can name a folder."""
    if not videos:
        raise DataError("the data set has no videos")
    names = [video.name for video in videos]
    check_names(names, "the data set")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"two videos are called {twice}: results and folders are named by the video")
