"""A memory of whole frames: keys shared by all objects, values per object."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ...registry import EVICTIONS, MEMORIES
from ...utils.errors import ConfigError


@dataclass
class MemoryEntry:
    """What one frame left in the memory.

    Attributes:
        frame: index of the frame.
        key: (B, Ck, N).
        value: (B, O, Cv, N); zeros for pairs that are not valid.
        valid: (B, O) bool on the CPU: the objects that were known when the frame was memorised.
        grid: (h, w) with h * w = N where tokens lie on the frame's grid, else None.
        prompted: an object was started at this frame: its only certain mask, kept as long as the object.
        usage: attention mass received since the entry was written; only counted for policies that ask.
        reads: number of queries that could give it (each gives a mass of 1 to all entries together).
        shrinkage: (B, 1, N), see :class:`~vosplug.models.encoders.FrameFeatures`; None where the method has none.
        selection: (B, Ck, N), likewise.
        use_count: (B, N) attention mass that each token received; None unless tokens are counted one by one.
        life_count: (B, N) read-outs that each token took part in, likewise.
    """

    frame: int
    key: Tensor
    value: Tensor
    valid: Tensor
    grid: tuple[int, int] | None = None
    prompted: bool = False
    usage: float = 0.0
    reads: int = 0
    shrinkage: Tensor | None = None
    selection: Tensor | None = None
    use_count: Tensor | None = None
    life_count: Tensor | None = None

    @property
    def tokens(self) -> int:
        """N."""
        return self.key.shape[-1]

    @property
    def objects(self) -> int:
        """O at the time of writing; objects that started later have no values here."""
        return self.value.shape[1]

    def by_token(self) -> Tensor:
        """Values (B, N, O, Cv), a token's side by side: from then on ``value`` is a view of them."""
        values = self.value.permute(0, 3, 1, 2)
        if not values.is_contiguous():
            values = values.contiguous()
            self.value = values.permute(0, 2, 3, 1)
        return values

    def keep_objects(self, keep: Tensor) -> None:
        """Drop all object channels but ``keep`` (sorted channel numbers)."""
        keep = keep[keep < self.objects]
        self.value = self.value[:, keep.to(self.value.device)]
        self.valid = self.valid[:, keep]


@MEMORIES.register_module()
class FrameBank:
    """Policy of STM, STCN: keep the frames that start objects and every k-th frame, within a budget.

    The policy holds no tensors; :meth:`new` gives the memory of one video.

    Args:
        every: frames whose index is a multiple of this are kept (STCN: 5 on DAVIS, 4 on YouTube-VOS).
        include_last: other frames are kept until the next frame replaces them.
        max_tokens: budget in tokens (positions), frames that start objects and the temporary frame included; None
            lets the memory grow with the video. The default holds 40 frames of 480x854 at stride 16.
        max_frames: the same budget in frames; None for no such limit.
        eviction: config (kind ``eviction policy``): which frame goes when the budget is full.
        train_every: as ``every``, for training clips, whose frames are few and far apart.
    """

    def __init__(self, every: int = 5, include_last: bool = False, max_tokens: int | None = 65_536,
                 max_frames: int | None = None, eviction: dict | None = None, train_every: int = 1):
        for name, value in (("every", every), ("train_every", train_every), ("max_tokens", max_tokens),
                            ("max_frames", max_frames)):
            if value is None and name.startswith("max"):
                continue
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f"FrameBank.{name} must be a whole number of at least 1, got {value!r}")
        self.every, self.train_every = every, train_every
        self.include_last = include_last
        self.max_tokens, self.max_frames = max_tokens, max_frames
        self.eviction = EVICTIONS.build(eviction or dict(type="OldestFirst"))

    def new(self, training: bool = False) -> "FrameBankState":
        """Return an empty memory for one video, or for one batch of training clips."""
        return FrameBankState(self, every=self.train_every if training else self.every)


class FrameBankState:
    """The memory of one video. See :class:`FrameBank` for the policy."""

    def __init__(self, policy: FrameBank, every: int):
        self.policy = policy
        self.every = every
        self.kept: list[MemoryEntry] = []
        self.temporary: MemoryEntry | None = None

    def __iter__(self) -> Iterator[MemoryEntry]:
        yield from self.kept
        if self.temporary is not None:
            yield self.temporary

    def __len__(self) -> int:
        return len(self.kept) + (self.temporary is not None)

    @property
    def tokens(self) -> int:
        """Number of tokens held."""
        return sum(entry.tokens for entry in self)

    @property
    def counts_usage(self) -> bool:
        """Whether read-outs should report how much attention each entry received."""
        return self.policy.eviction.counts_usage

    def wants(self, frame: int, *, prompted: bool, last: bool) -> bool:
        """Whether frame number ``frame`` is to be memorised, for good or until the next one."""
        return not last and (self.is_kept(frame, prompted) or self.policy.include_last)

    def is_kept(self, frame: int, prompted: bool) -> bool:
        """Whether a memorised frame stays (within the budget) or is temporary."""
        return prompted or frame % self.every == 0

    def add(self, entry: MemoryEntry) -> None:
        """Write a frame; the previous temporary frame goes, and others where the budget asks for it.

        A frame that starts objects is always written; another one is not if needed prompts fill the budget.
        """
        self.temporary = None
        self.make_room(entry.tokens)
        if not entry.prompted and self.over_budget(entry.tokens):
            return
        if self.is_kept(entry.frame, entry.prompted):
            self.kept.append(entry)
        else:
            self.temporary = entry

    def make_room(self, tokens: int) -> None:
        """Evict frames until ``tokens`` more fit; frames that an object still needs as its only prompt stay."""
        while self.over_budget(tokens):
            candidates = [e for e in self.kept if not e.prompted]
            candidates = candidates or [e for e in self.kept if not self.is_needed(e)]
            if not candidates:
                return
            self.kept.remove(self.policy.eviction.choose(candidates, self.kept))

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
        for entry in self:
            entry.keep_objects(keep)
        self.kept = [e for e in self.kept if e.valid.any()]
        if self.temporary is not None and not self.temporary.valid.any():
            self.temporary = None
