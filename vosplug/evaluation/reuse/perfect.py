"""Frames that are computed perfectly: to look at a gate, at modes and at sums without weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...models.frame_run import current_run
from ...structures import Decision, Rows, Video, VideoState


class PerfectFrames:
    """Stands for the fine half of a gated model: rows that were computed have their reference masks.

    Args:
        inner: the segmentor behind the gate.

    Attributes:
        video: that is segmented.
    """

    def __init__(self, inner: nn.Module):
        self.inner = inner
        self.fine = inner.decode_fine
        self.video: Video | None = None

    def decode_fine(self, state: VideoState, features: Any, coarse: Tensor, rows: Rows) -> Tensor:
        """Logits (R, K, H, W), at the size of the frame where the method can say reference masks there."""
        full = rows.select([key not in reused_keys() for key in rows.keys])
        truth = self.reference(state, full)
        if len(full) == len(rows):
            return truth
        logits = self.fine(state, features, coarse, rows)
        if logits.shape[-2:] != truth.shape[-2:]:
            logits = F.interpolate(logits, size=truth.shape[-2:], mode="bilinear")
        return logits.index_copy(0, rows.places(full), truth.to(logits))

    def reference(self, state: VideoState, rows: Rows) -> Tensor:
        """Certain logits (R, K, H, W) of the reference masks of rows on this frame."""
        labels = torch.from_numpy(self.video.read_labels(state.frame_index))
        masks = torch.stack([labels == value for value in state.ids.ids])[None].float()
        if state.geometry is not None:
            masks = self.inner.data_preprocessor.masks(masks, state.geometry)
        return self.inner.certain_rows(state, masks.to(rows.batch.device), rows)


class BlindFrames(PerfectFrames):
    """The same where nothing looks at features: reused frames are copies, and the gate follows a plan.

    Then the network has no part in the masks, and does not run.
    """

    def encode_shallow(self, frame: Tensor) -> Tensor:
        """The frame itself."""
        return frame

    def encode_deep(self, features: Tensor) -> Tensor:
        """The frame itself."""
        return features

    def early(self, features: Tensor) -> Tensor:
        """(B, C, 1, 1) zeros."""
        return features.new_zeros(len(features), self.inner.cut.early.channels, 1, 1)

    def decode_coarse(self, state: VideoState, features: Tensor, rows: Rows) -> Tensor:
        """(R, C, 1, 1) zeros."""
        cut = self.inner.cut
        return features.new_zeros(len(rows), cut.coarse.channels + cut.scored, 1, 1)

    def memorize(self, state: VideoState, features: Tensor, masks: Tensor, rows: Rows, run: Any) -> None:
        """Nothing."""


def reused_keys() -> set:
    """Keys of the rows that are reused on the frame that is being worked on."""
    return {key for note in current_run().notes if isinstance(note, Decision)
            for key, reused in zip(note.keys, note.reused.tolist(), strict=True) if reused}


@contextmanager
def perfect_frames(model: nn.Module, blind: bool = False) -> Iterator[PerfectFrames]:
    """Let a gated model have reference masks wherever it computes a frame; its video has to be told.

    Args:
        model: a :class:`~vosplug.models.segmentors.ReuseGated`.
        blind: see :class:`BlindFrames`.
    """
    inner = model.segmentor
    perfect = (BlindFrames if blind else PerfectFrames)(inner)
    replaced = ["decode_fine", *(["encode_shallow", "encode_deep", "early", "decode_coarse", "memorize"] * blind)]
    for name in replaced:
        setattr(inner, name, getattr(perfect, name))
    try:
        yield perfect
    finally:
        for name in replaced:
            delattr(inner, name)
