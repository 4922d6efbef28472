"""Which frames of a training clip are read: a random choice."""

from collections.abc import Iterator

import torch
from torch import Tensor

from ...utils.errors import ConfigError
from .base import Memory, MemoryState, Similarity, check_counts
from .entry import MemoryEntry, keep_channels, serving


class ClipSampler(Memory):
    """Training of XMem: the frames that start objects and random earlier ones are read, alike for a batch of clips.

    Args:
        train_frames: frames that are read when one frame starts all objects: the random ones are one less. Draws are
            from torch's generator.
        train_candidates: the random frames are drawn ahead, once per clip, from the first so many frames that start no
            object; other frames are never kept. So it is known before a frame is processed whether it is a memory
            frame (SpVOS, IV-D5: one of two). None draws at every frame from all earlier ones.
    """

    def __init__(self, train_frames: int = 2, train_candidates: int | None = None):
        check_counts(self, train_frames=train_frames)
        if train_candidates is not None and not train_frames - 1 <= train_candidates:
            raise ConfigError(f"train_candidates ({train_candidates}) must be at least train_frames - 1 "
                              f"({train_frames - 1}), or None")
        self.train_candidates = train_candidates

    def new(self, training: bool = True, similarity: Similarity | None = None) -> "ClipSamplerState":
        """Return an empty memory for one batch of training clips."""
        return ClipSamplerState(self)


class ClipSamplerState(MemoryState):
    """The memory of one batch of clips. See :class:`ClipSampler` for the policy.

    Attributes:
        kept: entries in order of time.
        offered: number of frames without prompts that a draw was made for.
        planned: which of them are kept, where they are drawn ahead.
        drawn: frame of the last draw, whether it is kept, and which entry makes room for it.
    """

    def __init__(self, policy: ClipSampler):
        self.policy = policy
        self.kept: list[MemoryEntry] = []
        self.offered = 0
        self.planned: set[int] | None = None
        self.drawn: tuple[int, bool, MemoryEntry | None] = (-1, False, None)

    def __iter__(self) -> Iterator[MemoryEntry]:
        yield from self.kept

    def wants(self, frame: int, *, prompted: bool, last: bool) -> bool:
        """Every frame but the last one is written; whether it is read later is drawn."""
        return not last

    def is_kept(self, frame: int, prompted: bool) -> bool:
        """Whether frame number ``frame`` will be read later: drawn when first asked for."""
        return prompted or self.draw(frame)[0]

    def add(self, entry: MemoryEntry) -> None:
        """Write a frame that was drawn, or starts objects."""
        self.latest = entry
        if not entry.prompted:
            kept, replaced = self.draw(entry.frame)
            if not kept:
                return
            self.kept = [held for held in self.kept if held is not replaced]
        self.kept.append(entry)

    def draw(self, frame: int) -> tuple[bool, MemoryEntry | None]:
        """Whether a frame is kept, and which entry makes room for it."""
        if self.drawn[0] != frame:
            self.drawn = (frame, *self.sample())
        return self.drawn[1:]

    def sample(self) -> tuple[bool, MemoryEntry | None]:
        """One draw: from the plan of the clip, or by reservoir sampling over the frames so far."""
        room, candidates = self.policy.train_frames - 1, self.policy.train_candidates
        self.offered += 1
        if candidates is not None:
            if self.planned is None:
                self.planned = set(torch.randperm(candidates)[:room].tolist())
            return self.offered - 1 in self.planned, None
        others = [entry for entry in self.kept if not entry.prompted]
        if len(others) < room:
            return True, None
        place = int(torch.randint(self.offered, ()))
        return (True, others[place]) if place < room else (False, None)

    def keep_objects(self, keep: Tensor) -> None:
        """Drop all object channels but ``keep`` and the entries that then serve no object."""
        keep_channels([*self, self.latest], keep)
        self.kept = serving(self.kept)
        if self.latest is not None and not self.latest.valid.any():
            self.latest = None
