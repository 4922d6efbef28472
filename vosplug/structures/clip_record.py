"""What happened on a clip, as losses read it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass
class FrameRecord:
    """One frame of a batch of clips.

    Attributes:
        index: number of the frame in its clip.
        logits: (B, O + 1, H, W) of background and objects; -inf for objects that a clip does not have yet.
        labels: (B, H, W) int64 by channel; 255 is void.
        known: (B, O) bool on the CPU: objects that were known before the frame, so that their masks were predicted.
        ids: slot of each channel.
        notes: what was done, see :mod:`~vosplug.structures.notes`.
    """

    index: int
    logits: Tensor
    labels: Tensor
    known: Tensor
    ids: tuple[int, ...] = ()
    notes: list[Any] = field(default_factory=list)

    @property
    def scored(self) -> bool:
        """Whether anything was predicted in any of the clips."""
        return bool(self.known.any())

    def predicted(self) -> tuple[Tensor, Tensor]:
        """Logits and labels of the clips in which something was predicted."""
        rows = self.known.any(dim=1).nonzero().flatten().to(self.logits.device)
        return self.logits.index_select(0, rows), self.labels.index_select(0, rows)


@dataclass
class ClipRecord:
    """All frames of a batch of clips, in order."""

    frames: list[FrameRecord] = field(default_factory=list)

    def scored(self) -> list[FrameRecord]:
        """The frames on which something was predicted."""
        return [frame for frame in self.frames if frame.scored]

    def noted(self, kind: type) -> Iterator[Any]:
        """The notes of one kind, over all frames."""
        return (note for frame in self.frames for note in frame.notes if isinstance(note, kind))
