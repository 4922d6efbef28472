"""Follows the given objects of the videos of a data set and scores their masks."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ..inference.prefetch import PrefetchReader
from ..inference.readers import DatasetVideoReader, Frame
from ..inference.session import new_session
from ..inference.video_writer import OverlayVideoWriter
from ..inference.writers import FrameWriter, MaskFolderWriter
from ..structures import Video, VideoDataset
from ..utils.errors import InputError
from ..utils.files import write_json
from .evaluator import Evaluator, Share, naming
from .metrics.video_metric import VideoMetric


class VOSEvaluator(Evaluator):
    """Segments videos frame by frame; see :class:`Evaluator` for the arguments.

    ``out_dir`` gets palette PNGs, ``<video>/<frame>.png``, the result of each video, ``results/<video>.json``, and
    ``results.json``. The model may be anything with ``new_session(**options)`` (a baseline).
    """

    def check(self, dataset: VideoDataset, videos: Sequence[Video]) -> None:
        """No mask of a video may go into the folder of its pictures or masks."""
        for video in () if self.out_dir is None else videos:
            folder = (self.out_dir / video.name).resolve()
            paths = (video.image_paths[0], *video.mask_paths, *video.prompt_paths.values())
            if any(Path(path).parent.resolve() == folder for path in paths if path is not None):
                raise InputError(f"{self.out_dir / video.name} is the folder of an input, which would be overwritten: "
                                 "choose another output folder")

    def segment(self, video: Video, dataset: VideoDataset, metric: VideoMetric | None, share: Share,
                advance: Callable[[], None]) -> dict | None:
        """Segment, write and score the frames that the data set wants."""
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
            write_json(self.out_dir / "results" / f"{video.name}.json", result)
        return result

    def write_scores(self, scores: dict | None, metric: VideoMetric) -> None:
        """The numbers, and the results of all videos."""
        write_json(self.out_dir / "results.json", {"scores": scores, "videos": metric.results()})

    def _labels(self, video: Video, share: Share) -> Iterator[tuple[Frame, np.ndarray]]:
        session = new_session(self.model, **{"allow_empty": True, **self.session_options})
        final = len(video) - 1
        with PrefetchReader(DatasetVideoReader(video)) as reader:
            for frame in reader:
                prompt = video.read_prompt(frame.index)
                ids = None if prompt is None else video.prompts[frame.index]
                begin = time.perf_counter()
                with naming(video):
                    labels = session.step(frame.image, prompt, ids, last=frame.index == final)
                seconds = time.perf_counter() - begin
                share.seconds += seconds
                share.frames += 1
                count, spent, first = share.videos.get(video.name, (0, 0.0, seconds))
                share.videos[video.name] = count + 1, spent + seconds, first
                yield frame, labels

    def _writers(self, video: Video, stack: contextlib.ExitStack) -> tuple[FrameWriter | None, FrameWriter | None]:
        masks = pictures = None
        if self.out_dir is not None:
            masks = stack.enter_context(MaskFolderWriter(self.out_dir / video.name))
        if self.show_dir is not None:
            pictures = stack.enter_context(OverlayVideoWriter(self.show_dir / f"{video.name}.mp4"))
        return masks, pictures
