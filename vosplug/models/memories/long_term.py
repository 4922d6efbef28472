"""XMem's memory: recent frames in full, older ones condensed to a few prototypes, the least used of which go."""

from collections.abc import Iterator

import torch
from torch import Tensor

from ...registry import MEMORIES
from ...utils.errors import ConfigError, InputError
from ..layers.similarity import anisotropic_l2
from .frame_bank import MemoryEntry

LIFE_AT_BIRTH = 1e-7  # read-outs of a new token, so that usage per read-out is defined


@MEMORIES.register_module()
class LongTermMemory:
    """Working and long-term memory of XMem (Cheng and Schwing, ECCV 2022, section 3.2).

    When the working memory is full, all its frames but the one that starts an object and the most recent ones become
    candidates: the ``num_prototypes`` most used tokens get values from all candidates (potentiation) and move to the
    long-term memory; the candidates go. When that is full, its least used tokens are forgotten first. So the memory
    of a video of any length is bounded by ``max_mid_term_frames`` frames, one more for every further frame at which
    tracked objects start, and ``max_long_term_elements`` tokens.

    Args:
        every: a frame is written when at least so many frames have passed since the last one.
        enable_long_term: False keeps every written frame, so that the memory grows with the video.
        max_mid_term_frames: the working memory is consolidated when it holds so many frames.
        min_mid_term_frames: frames that stay in it then, the first one among them.
        max_long_term_elements: budget of the long-term memory in tokens.
        num_prototypes: tokens that a consolidation adds.
        train_frames: frames that training reads: those that start objects, and a random choice of the earlier ones up
            to this number (drawn from torch's generator, alike for the clips of a batch).
        train_candidates: the random frames of training are drawn ahead, once per clip, from the first so many frames
            that start no object; other frames are never kept. So it is known before a frame is processed whether it
            is a memory frame (SpVOS, IV-D5: one of two). None draws at every frame from all earlier ones.
    """

    def __init__(self, every: int = 5, enable_long_term: bool = True, max_mid_term_frames: int = 10,
                 min_mid_term_frames: int = 5, max_long_term_elements: int = 10_000, num_prototypes: int = 128,
                 train_frames: int = 2, train_candidates: int | None = None):
        numbers = dict(every=every, max_mid_term_frames=max_mid_term_frames, min_mid_term_frames=min_mid_term_frames,
                       max_long_term_elements=max_long_term_elements, num_prototypes=num_prototypes,
                       train_frames=train_frames)
        for name, value in numbers.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"LongTermMemory.{name} must be a whole number of at least 1, got {value!r}")
            setattr(self, name, value)
        if min_mid_term_frames >= max_mid_term_frames:
            raise ConfigError(f"LongTermMemory.min_mid_term_frames ({min_mid_term_frames}) must be less than "
                              f"max_mid_term_frames ({max_mid_term_frames}): nothing could be consolidated")
        if num_prototypes >= max_long_term_elements:
            raise ConfigError(f"LongTermMemory.num_prototypes ({num_prototypes}) must be less than "
                              f"max_long_term_elements ({max_long_term_elements})")
        if train_candidates is not None and not train_frames - 1 <= train_candidates:
            raise ConfigError(f"LongTermMemory.train_candidates ({train_candidates}) must be at least train_frames - 1 "
                              f"({train_frames - 1}), or None")
        self.enable_long_term = enable_long_term
        self.train_candidates = train_candidates

    def new(self, training: bool = False) -> "LongTermMemoryState":
        """Return an empty memory for one video, or for one batch of training clips."""
        return LongTermMemoryState(self, training=training)


class LongTermMemoryState:
    """The memory of one video. See :class:`LongTermMemory` for the policy.

    Attributes:
        working: written frames in order of time.
        long_term: prototypes; one entry for each set of objects that have values.
        training: a batch of clips is unrolled.
    """

    def __init__(self, policy: LongTermMemory, training: bool = False):
        self.policy = policy
        self.training = training
        self.every = 1 if training else policy.every
        self.working: list[MemoryEntry] = []
        self.long_term: list[MemoryEntry] = []
        self.last_written = 0
        self.offered = 0
        self.planned: set[int] | None = None
        self.drawn: tuple[int, bool, MemoryEntry | None] = (-1, False, None)

    def __iter__(self) -> Iterator[MemoryEntry]:
        yield from self.long_term
        yield from self.working

    def __len__(self) -> int:
        return len(self.long_term) + len(self.working)

    @property
    def tokens(self) -> int:
        """Number of tokens held."""
        return sum(entry.tokens for entry in self)

    @property
    def long_term_tokens(self) -> int:
        """Number of tokens in the long-term memory."""
        return sum(entry.tokens for entry in self.long_term)

    @property
    def counts_usage(self) -> bool:
        """Whether read-outs should report how much attention each token received."""
        return self.policy.enable_long_term and not self.training

    def wants(self, frame: int, *, prompted: bool, last: bool) -> bool:
        """Whether frame number ``frame`` is to be memorised."""
        return not last and (prompted or frame - self.last_written >= self.every)

    def is_kept(self, frame: int, prompted: bool) -> bool:
        """Whether frame number ``frame`` will be a memory frame; asked before it is processed."""
        if prompted or not self.training:
            return self.wants(frame, prompted=prompted, last=False)
        return self.draw(frame)[0]

    def add(self, entry: MemoryEntry) -> None:
        """Write a frame, then consolidate if the working memory is full."""
        self.last_written = entry.frame
        if self.training and not entry.prompted:
            kept, replaced = self.draw(entry.frame)
            if not kept:
                return
            self.working = [held for held in self.working if held is not replaced]
        if self.counts_usage:
            if len(entry.key) != 1:
                raise InputError(f"the long-term memory serves one video at a time, got a batch of {len(entry.key)}: "
                                 "give each video a state of its own, or set memory.enable_long_term=False")
            entry.use_count = torch.zeros(1, entry.tokens, device=entry.key.device)
            entry.life_count = torch.full_like(entry.use_count, LIFE_AT_BIRTH)
        self.working.append(entry)
        if self.counts_usage:
            self.consolidate_if_full()

    def draw(self, frame: int) -> tuple[bool, MemoryEntry | None]:
        """Whether training keeps a frame, and which entry makes room for it: drawn when first asked for."""
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
        others = [entry for entry in self.working if not entry.prompted]
        if len(others) < room:
            return True, None
        place = int(torch.randint(self.offered, ()))
        return (True, others[place]) if place < room else (False, None)

    def anchors(self) -> list[MemoryEntry]:
        """The first frame of each object, which holds its only certain mask: never consolidated."""
        found, covered = [], torch.zeros(0, dtype=torch.bool)
        for entry in self.working:
            row = entry.valid.any(dim=0)
            covered = torch.cat([covered, covered.new_zeros(max(0, len(row) - len(covered)))])
            if (row & ~covered[: len(row)]).any():
                found.append(entry)
            covered[: len(row)] |= row
        return found

    def consolidate_if_full(self) -> None:
        """Move the older frames of a full working memory to the long-term memory."""
        policy, anchors = self.policy, self.anchors()
        if len(self.working) - max(0, len(anchors) - 1) < policy.max_mid_term_frames:
            return
        recent = self.working[len(self.working) - (policy.min_mid_term_frames - 1) :]
        kept = {id(entry) for entry in (*anchors, *recent)}
        candidates = [entry for entry in self.working if id(entry) not in kept]
        if not candidates:
            return
        self.forget()
        self.working = [entry for entry in self.working if id(entry) in kept]
        for prototypes in self.consolidate(candidates):
            self.insert(prototypes)

    def forget(self) -> None:
        """Remove the least used long-term tokens, and those that are used as little, until prototypes fit."""
        excess = self.long_term_tokens - (self.policy.max_long_term_elements - self.policy.num_prototypes)
        if excess <= 0:
            return
        usage = torch.cat([usage_of(entry) for entry in self.long_term])
        threshold = usage.kthvalue(excess).values
        self.long_term = [take(entry, (usage_of(entry) > threshold).nonzero().flatten()) for entry in self.long_term]
        self.long_term = [entry for entry in self.long_term if entry.tokens]

    def choose_prototypes(self, usage: Tensor) -> Tensor:
        """Numbers of the most used of N candidates, by falling usage (N,) -> (M,)."""
        return usage.topk(min(self.policy.num_prototypes, len(usage))).indices

    def consolidate(self, candidates: list[MemoryEntry]) -> list[MemoryEntry]:
        """Condense frames to prototypes: one entry for each set of objects that have values."""
        key, shrinkage, selection = (joined(candidates, name) for name in ("key", "shrinkage", "selection"))
        chosen = self.choose_prototypes(torch.cat([usage_of(entry) for entry in candidates]))
        asking = None if selection is None else selection[..., chosen]
        scores = anisotropic_l2(key[..., chosen], key, asking, shrinkage)
        table = validity(candidates)
        owner = torch.repeat_interleave(torch.tensor([entry.tokens for entry in candidates]))
        rows = table[owner[chosen.cpu()]]
        value = potentiate(scores, candidates, table)
        value = value * rows.T.to(value)[None, :, None, :]
        if shrinkage is not None:
            shrinkage = (scores.softmax(dim=-1) @ shrinkage.to(scores).transpose(1, 2)).transpose(1, 2).to(shrinkage)
        whole = MemoryEntry(frame=candidates[0].frame, key=key[..., chosen], value=value, valid=rows[:1],
                            shrinkage=shrinkage)
        whole.use_count = torch.zeros(1, len(chosen), device=key.device)
        whole.life_count = torch.full_like(whole.use_count, LIFE_AT_BIRTH)
        parts = []
        for pattern in rows.unique(dim=0):
            part = take(whole, (rows == pattern).all(dim=1).nonzero().flatten().to(key.device))
            part.valid = pattern[None]
            parts.append(part)
        return parts

    def insert(self, entry: MemoryEntry) -> None:
        """Add prototypes to the long-term entry that serves the same objects, if there is one."""
        objects = trimmed(entry.valid)
        for place, other in enumerate(self.long_term):
            if trimmed(other.valid) == objects:
                self.long_term[place] = merged(other, entry)
                return
        self.long_term.append(entry)

    def keep_objects(self, keep: Tensor) -> None:
        """Drop all object channels but ``keep`` and the entries that then serve no object."""
        for entry in self:
            entry.keep_objects(keep)
        self.working = [e for e in self.working if e.valid.any()]
        self.long_term = [e for e in self.long_term if e.valid.any()]


def usage_of(entry: MemoryEntry) -> Tensor:
    """(N,) attention per read-out that each token received."""
    return (entry.use_count / entry.life_count)[0]


def joined(entries: list[MemoryEntry], name: str) -> Tensor | None:
    """Tensors of entries side by side; None if the method has none."""
    parts = [getattr(entry, name) for entry in entries]
    return None if any(part is None for part in parts) else torch.cat(parts, dim=-1)


def validity(entries: list[MemoryEntry]) -> Tensor:
    """(E, O) bool on the CPU: which objects have values in which entry of one video."""
    table = torch.zeros(len(entries), max(entry.objects for entry in entries), dtype=torch.bool)
    for row, entry in zip(table, entries, strict=True):
        row[: entry.objects] = entry.valid[0]
    return table


def potentiate(scores: Tensor, candidates: list[MemoryEntry], table: Tensor) -> Tensor:
    """Values of prototypes: means of the candidates' values, weighted by a plain softmax of similarities.

    Args:
        scores: (1, M, N) similarities of prototypes and candidates.
        candidates: E entries with N tokens together.
        table: (E, O), see :func:`validity`; an object is served by the entries that hold it.

    Returns:
        (1, O, Cv, M).
    """
    sample = candidates[0].value
    value = sample.new_zeros(1, table.shape[1], sample.shape[2], scores.shape[1])
    parts = scores.split([entry.tokens for entry in candidates], dim=-1)
    for column in table.T.unique(dim=0):
        if not column.any():
            continue
        numbers = column.nonzero().flatten().tolist()
        objects = (column == table.T).all(dim=1).nonzero().flatten().to(sample.device)
        weights = torch.cat([parts[i] for i in numbers], dim=-1).softmax(dim=-1)[0].to(sample.dtype)
        held = torch.cat([candidates[i].value[0, objects] for i in numbers], dim=-1)
        value[0, objects] = held @ weights.T
    return value


def take(entry: MemoryEntry, places: Tensor) -> MemoryEntry:
    """The tokens numbered ``places`` of an entry of the long-term memory."""
    return MemoryEntry(
        frame=entry.frame, key=entry.key[..., places], value=entry.value[..., places], valid=entry.valid,
        shrinkage=None if entry.shrinkage is None else entry.shrinkage[..., places],
        use_count=entry.use_count[..., places], life_count=entry.life_count[..., places])


def merged(old: MemoryEntry, new: MemoryEntry) -> MemoryEntry:
    """Two long-term entries that serve the same objects as one, older tokens first."""
    objects = max(old.objects, new.objects)
    old_value, new_value = (torch.cat([e.value, e.value.new_zeros(1, objects - e.objects, *e.value.shape[2:])], dim=1)
                            for e in (old, new))
    names = ("key", "shrinkage", "use_count", "life_count")
    return MemoryEntry(frame=old.frame, value=torch.cat([old_value, new_value], dim=-1),
                       valid=old.valid if old.objects == objects else new.valid,
                       **{name: joined([old, new], name) for name in names})


def trimmed(valid: Tensor) -> tuple[int, ...]:
    """Channels of the objects that an entry of one video serves."""
    return tuple(valid[0].nonzero().flatten().tolist())
