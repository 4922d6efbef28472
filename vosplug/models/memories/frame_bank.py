"""A memory of whole frames."""

from collections.abc import Iterator

import torch
from torch import Tensor

from ...registry import MEMORIES
from ...utils.errors import ConfigError, did_you_mean
from .base import Memory, MemoryState, Similarity, check_counts
from .entry import MemoryEntry, keep_channels, serving

STARTS = ("start", "kept")


@MEMORIES.register_module(examples=[
    dict(), dict(include_last=True), dict(max_frames=3), dict(every=3, since="kept"),
    dict(every=None, train_every=None), dict(every=1, max_frames=3, keep_prompts=False)])
class FrameBank(Memory):
    """Keeps the frames that start objects and every k-th frame, within a budget; the oldest frame goes first.

    The memory of STM and STCN; with ``since="kept", include_last=True`` long- and short-term memory of AOT (``kept``
    and ``latest`` of the state); with ``every=None`` the reference frames of CFBI; with ``every=1, max_frames=n,
    keep_prompts=False`` a buffer of the last n frames (SST), and with ``max_prompts`` instead of the latter frames that
    start objects beside it.

    Args:
        every: k (STCN: 5 on DAVIS, 4 on YouTube-VOS); None keeps only frames that start objects.
        since: k counts from the ``start`` of the video, so that frames whose index is a multiple of k are kept; or from
            the last frame that was ``kept``, so that a frame that starts objects puts the next one off.
        include_last: every other frame is written too, and kept until the next frame replaces it.
        prompts_to_long_term: False: a frame that starts objects is kept only if its turn has come or nothing is kept,
            else until the next frame replaces it; for methods that carry objects on from frame to frame.
        keep_prompts: a frame that starts an object stays as long as no other one serves the object. False: the
            budget evicts it as any other frame.
        max_tokens: budget in tokens (positions), frames that start objects and the temporary frame included; None
            lets the memory grow with the video. The default holds 40 frames of 480x854 at stride 16.
        max_frames: the same budget in frames; None for no such limit.
        train_every: as ``every``, for training clips, whose frames are few and far apart.
        max_prompts: the last ``max_frames`` kept frames stay, and beside them so many older ones that start objects,
            of which the oldest goes first. None: frames that start objects count among ``max_frames``.
    """

    def __init__(self, every: int | None = 5, since: str = "start", include_last: bool = False,
                 prompts_to_long_term: bool = True, keep_prompts: bool = True, max_tokens: int | None = 65_536,
                 max_frames: int | None = None, train_every: int | None = 1, max_prompts: int | None = None):
        check_counts(self, optional=("every", "train_every", "max_tokens", "max_frames", "max_prompts"), every=every,
                     train_every=train_every, max_tokens=max_tokens, max_frames=max_frames, max_prompts=max_prompts)
        if max_prompts is not None and (max_frames is None or include_last or not keep_prompts):
            raise ConfigError("FrameBank.max_prompts needs max_frames, and neither include_last=True nor "
                              "keep_prompts=False: it keeps frames that start objects beside the last max_frames ones")
        if since not in STARTS:
            raise ConfigError(f"FrameBank.since must be {' or '.join(map(repr, STARTS))}, got {since!r}."
                              f"{did_you_mean(str(since), STARTS)}")
        if not (prompts_to_long_term or include_last):
            raise ConfigError("FrameBank.prompts_to_long_term=False needs include_last=True: else a frame that starts "
                              "an object, its only mask, would not be memorised at all")
        self.since = since
        self.include_last = include_last
        self.prompts_to_long_term, self.keep_prompts = prompts_to_long_term, keep_prompts

    def new(self, training: bool = False, similarity: Similarity | None = None) -> "FrameBankState":
        """Return an empty memory for one video, or for one batch of training clips; nothing is compared."""
        return FrameBankState(self, self.train_every if training else self.every)


class FrameBankState(MemoryState):
    """The memory of one video. See :class:`FrameBank` for the policy.

    Attributes:
        kept: entries in order of time, without the temporary one.
        temporary: ``latest`` if it is read until the next frame replaces it, else None.
    """

    def __init__(self, policy: FrameBank, gap: int | None):
        self.policy, self.gap = policy, gap
        self.kept: list[MemoryEntry] = []
        self.temporary: MemoryEntry | None = None
        self.last_kept: int | None = None

    def __iter__(self) -> Iterator[MemoryEntry]:
        yield from self.kept
        if self.temporary is not None:
            yield self.temporary

    def wants(self, frame: int, *, prompted: bool, last: bool) -> bool:
        """Whether frame number ``frame`` is to be written, for good or until the next one."""
        return not last and (self.policy.include_last or self.is_kept(frame, prompted))

    def is_kept(self, frame: int, prompted: bool) -> bool:
        """Whether a written frame stays (within the budget) or is temporary."""
        if prompted and (self.policy.prompts_to_long_term or not self.kept):
            return True
        if self.gap is None:
            return False
        if self.policy.since == "start":
            return frame % self.gap == 0
        return self.last_kept is None or frame - self.last_kept >= self.gap

    def add(self, entry: MemoryEntry) -> None:
        """Write a frame; the previous temporary frame goes, and others where the budget asks for it.

        A frame that starts objects is always written; another one is only ``latest`` if needed prompts fill the budget.
        """
        kept = self.is_kept(entry.frame, entry.prompted)
        self.temporary, self.latest = None, entry
        if kept:
            self.last_kept = entry.frame
        if self.policy.max_prompts is not None:
            self.slide(entry)
            return
        self.make_room(entry.tokens)
        if not entry.prompted and self.over_budget(entry.tokens):
            return
        if kept:
            self.kept.append(entry)
        else:
            self.temporary = entry

    def slide(self, entry: MemoryEntry) -> None:
        """Keep the last frames, and older ones that start objects beside them; tokens are those of both."""
        policy, frames = self.policy, [*self.kept, entry]
        older = [e for e in frames[: -policy.max_frames] if e.prompted][-policy.max_prompts :]
        self.kept = older + frames[-policy.max_frames :]
        while len(self.kept) > 1 and policy.max_tokens is not None and self.tokens > policy.max_tokens:
            self.kept.pop(0)

    def make_room(self, tokens: int) -> None:
        """Evict the oldest frames until ``tokens`` more fit."""
        while self.over_budget(tokens):
            candidates = self.candidates()
            if not candidates:
                return
            self.kept.remove(candidates[0])

    def candidates(self) -> list[MemoryEntry]:
        """Entries that may go, in order of time: those that start objects last, and never one that is needed."""
        if not self.policy.keep_prompts:
            return self.kept
        return [e for e in self.kept if not e.prompted] or [e for e in self.kept if not self.is_needed(e)]

    def over_budget(self, tokens: int) -> bool:
        """Whether ``tokens`` more in one more entry would exceed the budget."""
        policy = self.policy
        return ((policy.max_tokens is not None and self.tokens + tokens > policy.max_tokens)
                or (policy.max_frames is not None and len(self) + 1 > policy.max_frames))

    def is_needed(self, entry: MemoryEntry) -> bool:
        """Whether some object has no values in any other kept entry."""
        covered = torch.zeros_like(entry.valid)
        for other in self.kept:
            if other is not entry:
                columns = min(other.objects, entry.objects)
                covered[:, :columns] |= other.valid[:, :columns]
        return bool((entry.valid & ~covered).any())

    def keep_objects(self, keep: Tensor) -> None:
        """Drop all object channels but ``keep`` and the entries that then serve no object."""
        keep_channels([*self, self.latest], keep)
        self.kept = serving(self.kept)
        if self.latest is not None and not self.latest.valid.any():
            self.temporary = self.latest = None
