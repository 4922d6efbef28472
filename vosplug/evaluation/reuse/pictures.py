"""What change generator and translator did on reused frames (Park et al., CVPR 2021, Fig. 5)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...models.decoders.refiner import resize
from ...models.frame_run import FrameRun
from ...models.segmentors.reuse_gated import FEATURE
from ...structures import Rows, RowStore, ScoreChange, Video


@dataclass
class ReusedFrame:
    """An object on a frame that was reused for it.

    Attributes:
        video, value, frame: which.
        picture: (H, W, 3) uint8 RGB.
        maps: title -> (h, w): ``true change`` and ``change`` of the score, ``S`` and ``S moved``, and means over the
            channels of the sizes of ``R`` and ``R moved``.
        error: mean square of change - true change.
    """

    video: str
    value: int
    frame: int
    picture: np.ndarray
    maps: dict[str, np.ndarray]
    error: float


class ReuseRecorder:
    """Keeps what was translated, while a gated model segments a data set with reference masks.

    Attributes:
        frames: so far.
        video: that is segmented.
    """

    def __init__(self):
        self.frames: list[tuple[Video, int, int, dict[str, np.ndarray]]] = []
        self.video: Video | None = None

    def take(self, frame: int, rows: Rows, feature: Tensor, moved: Tensor, change: ScoreChange) -> None:
        """Keep the maps of rows: features (R, C, h, w) before and after, and the change of their scores."""
        labels = torch.from_numpy(self.video.read_labels(frame))
        for row, (_, value) in enumerate(rows.keys):
            score, delta = change.score[row, 0].float(), change.delta[row, 0].float()
            truth = resize((labels == value).float()[None, None], tuple(score.shape))[0, 0].to(score)
            maps = {"true change": truth - score, "change": delta, "S": score, "S moved": score + delta,
                    "R": feature[row].float().abs().mean(dim=0), "R moved": moved[row].float().abs().mean(dim=0)}
            self.frames.append((self.video, value, frame, {name: x.cpu().numpy() for name, x in maps.items()}))

    def chosen(self, count: int) -> list[ReusedFrame]:
        """So many of the frames, evenly from those where the change was predicted best to those where it was not."""
        errors = [float(np.mean((maps["change"] - maps["true change"]) ** 2)) for *_, maps in self.frames]
        order = np.argsort(errors, kind="stable")
        places = np.unique(np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int))
        picked = [(int(order[place]), *self.frames[order[place]]) for place in places]
        return [ReusedFrame(video.name, value, frame, video.read_frame(frame), maps, errors[number])
                for number, video, value, frame, maps in picked]


@contextmanager
def recording(model: nn.Module) -> Iterator[ReuseRecorder]:
    """Record what a gated model translates; the recorder has to be told the video."""
    recorder, translate = ReuseRecorder(), model.translate

    def watched(store: RowStore, dissimilarity: Tensor, rows: Rows, run: FrameRun) -> Any:
        feature = store.read(FEATURE, rows)
        moved, change = translate(store, dissimilarity, rows, run)
        recorder.take(run.state.frame_index, rows, feature, moved[:, : feature.shape[1]], change)
        return moved, change

    model.translate = watched
    try:
        yield recorder
    finally:
        del model.translate
