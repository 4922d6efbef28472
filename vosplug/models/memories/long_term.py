"""XMem's memory: recent frames in full, older ones condensed to a few prototypes, the least used of which go."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ...registry import MEMORIES
from ...utils.errors import ConfigError, InputError
from .base import Memory, MemoryState, Similarity, check_counts
from .clip_sampler import ClipSampler
from .entry import MemoryEntry, joined, keep_channels, serving

LIFE_AT_BIRTH = 1e-7  # read-outs of a new token, so that usage per read-out is defined


@MEMORIES.register_module(examples=[
    dict(), dict(max_mid_term_frames=3, min_mid_term_frames=2, num_prototypes=6, max_long_term_elements=18)])
class LongTermMemory(Memory):
    """Working and long-term memory of XMem (Cheng and Schwing, ECCV 2022, section 3.2).

    When the working memory is full, all its frames but the one that starts an object and the most recent ones become
    candidates: the ``num_prototypes`` most used tokens get values from all candidates (potentiation) and move to the
    long-term memory; the candidates go. When that is full, its least used tokens are forgotten first. So the memory
    of a video of any length is bounded by ``max_mid_term_frames`` frames, one more for every further frame at which
    tracked objects start, and ``max_long_term_elements`` tokens.

    Entries hold ``key`` and per object ``value``; what the head compares keys by (``shrinkage``, ``selection``) is kept
    beside them. Tokens are compared as the matching head of the method does it.

    Args:
        every: a frame is written when at least so many frames have passed since the last one.
        max_mid_term_frames: the working memory is consolidated when it holds so many frames.
        min_mid_term_frames: frames that stay in it then, the first one among them.
        max_long_term_elements: budget of the long-term memory in tokens.
        num_prototypes: tokens that a consolidation adds.
        train_frames, train_candidates: frames that training reads, see :class:`~.clip_sampler.ClipSampler`.
    """

    def __init__(self, every: int = 5, max_mid_term_frames: int = 10, min_mid_term_frames: int = 5,
                 max_long_term_elements: int = 10_000, num_prototypes: int = 128, train_frames: int = 2,
                 train_candidates: int | None = None):
        check_counts(self, every=every, max_mid_term_frames=max_mid_term_frames,
                     min_mid_term_frames=min_mid_term_frames, max_long_term_elements=max_long_term_elements,
                     num_prototypes=num_prototypes)
        if min_mid_term_frames >= max_mid_term_frames:
            raise ConfigError(f"LongTermMemory.min_mid_term_frames ({min_mid_term_frames}) must be less than "
                              f"max_mid_term_frames ({max_mid_term_frames}): nothing could be consolidated")
        if num_prototypes >= max_long_term_elements:
            raise ConfigError(f"LongTermMemory.num_prototypes ({num_prototypes}) must be less than "
                              f"max_long_term_elements ({max_long_term_elements})")
        self.sampler = ClipSampler(train_frames, train_candidates)

    def new(self, training: bool = False, similarity: Similarity | None = None) -> MemoryState:
        """Return an empty memory for one video, or for one batch of training clips.

        Raises:
            ConfigError: videos are read, and the method has no head that compares tokens.
        """
        if training:
            return self.sampler.new()
        if similarity is None:
            raise ConfigError("LongTermMemory condenses frames by the similarity of their tokens, which the matching "
                              "head of this method does not publish (similarity_of): use a FrameBank")
        return LongTermMemoryState(self, similarity)


@dataclass(eq=False, kw_only=True)
class CountedEntry(MemoryEntry):
    """An entry of one video with the usage of its tokens.

    Attributes:
        use_count: (1, N) attention that each token received.
        life_count: (1, N) read-outs that each token took part in.
    """

    use_count: Tensor = field(init=False)
    life_count: Tensor = field(init=False)

    def __post_init__(self):
        super().__post_init__()
        any_tensor = next(iter(self.frame_tensors.values()))
        self.use_count = torch.zeros(1, self.tokens, device=any_tensor.device)
        self.life_count = torch.full_like(self.use_count, LIFE_AT_BIRTH)

    @property
    def usage(self) -> Tensor:
        """(N,) attention per read-out."""
        return (self.use_count / self.life_count)[0]


class LongTermMemoryState(MemoryState):
    """The memory of one video. See :class:`LongTermMemory` for the policy.

    Attributes:
        working: written frames in order of time.
        long_term: prototypes; one entry for each set of objects that have values.
    """

    def __init__(self, policy: LongTermMemory, similarity: Similarity):
        self.policy = policy
        self.similarity = similarity
        self.working: list[CountedEntry] = []
        self.long_term: list[CountedEntry] = []
        self.last_written = 0

    def __iter__(self) -> Iterator[CountedEntry]:
        yield from self.long_term
        yield from self.working

    @property
    def long_term_tokens(self) -> int:
        """Number of tokens in the long-term memory."""
        return sum(entry.tokens for entry in self.long_term)

    def wants(self, frame: int, *, prompted: bool, last: bool) -> bool:
        """Whether frame number ``frame`` is to be memorised."""
        return not last and (prompted or frame - self.last_written >= self.policy.every)

    def add(self, entry: MemoryEntry) -> None:
        """Write a frame, then consolidate if the working memory is full."""
        if len(entry.valid) != 1:
            raise InputError(f"the long-term memory serves one video at a time, got a batch of {len(entry.valid)}: "
                             "give each video a state of its own, or use a FrameBank")
        self.last_written = entry.frame
        self.latest = CountedEntry(**vars(entry))
        self.working.append(self.latest)
        self.consolidate_if_full()

    def note_reading(self, entries: list[MemoryEntry], mass: Callable[[], Tensor], share: float) -> None:
        """Count the attention that each token received, and the read-outs that it took part in."""
        received = mass().split([entry.tokens for entry in entries], dim=-1)
        for entry, part in zip(entries, received, strict=True):
            entry.use_count += part
            entry.life_count += share

    def anchors(self) -> list[CountedEntry]:
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
        usage = torch.cat([entry.usage for entry in self.long_term])
        threshold = usage.kthvalue(excess).values
        self.long_term = [take(entry, (entry.usage > threshold).nonzero().flatten()) for entry in self.long_term]
        self.long_term = [entry for entry in self.long_term if entry.tokens]

    def choose_prototypes(self, usage: Tensor) -> Tensor:
        """Numbers of the most used of N candidates, by falling usage (N,) -> (M,)."""
        return usage.topk(min(self.policy.num_prototypes, len(usage))).indices

    def consolidate(self, candidates: list[CountedEntry]) -> list[CountedEntry]:
        """Condense frames to prototypes: one entry for each set of objects that have values."""
        held = joined(candidates)
        chosen = self.choose_prototypes(torch.cat([entry.usage for entry in candidates]))
        scores = self.similarity({name: x[..., chosen] for name, x in held.items()}, held)
        table = validity(candidates)
        owner = torch.repeat_interleave(torch.tensor([entry.tokens for entry in candidates]))
        rows = table[owner[chosen.cpu()]]
        value = potentiate(scores, candidates, table)
        value = value * rows.T.to(value)[None, :, None, :]
        tensors = {"key": held["key"][..., chosen]}
        if "shrinkage" in held:  # a mean over the candidates too, while the selection is for asking alone
            shrinkage = held["shrinkage"]
            mean = (scores.softmax(dim=-1) @ shrinkage.to(scores).transpose(1, 2)).transpose(1, 2)
            tensors["shrinkage"] = mean.to(shrinkage)
        whole = CountedEntry(frame=candidates[0].frame, frame_tensors=tensors, object_tensors={"value": value},
                             valid=torch.ones(1, table.shape[1], dtype=torch.bool))
        parts = []
        for pattern in rows.unique(dim=0):
            part = take(whole, (rows == pattern).all(dim=1).nonzero().flatten().to(value.device))
            part.valid = pattern[None]
            parts.append(part)
        return parts

    def insert(self, entry: CountedEntry) -> None:
        """Add prototypes to the long-term entry that serves the same objects, if there is one."""
        objects = trimmed(entry.valid)
        for place, other in enumerate(self.long_term):
            if trimmed(other.valid) == objects:
                self.long_term[place] = merged(other, entry)
                return
        self.long_term.append(entry)

    def keep_objects(self, keep: Tensor) -> None:
        """Drop all object channels but ``keep`` and the entries that then serve no object."""
        keep_channels([*self, self.latest], keep)
        self.working, self.long_term = serving(self.working), serving(self.long_term)
        if self.latest is not None and not self.latest.valid.any():
            self.latest = None


def validity(entries: list[CountedEntry]) -> Tensor:
    """(E, O) bool on the CPU: which objects have values in which entry of one video."""
    table = torch.zeros(len(entries), max(entry.objects for entry in entries), dtype=torch.bool)
    for row, entry in zip(table, entries, strict=True):
        row[: entry.objects] = entry.valid[0]
    return table


def potentiate(scores: Tensor, candidates: list[CountedEntry], table: Tensor) -> Tensor:
    """Values of prototypes: means of the candidates' values, weighted by a plain softmax of similarities.

    Args:
        scores: (1, M, N) similarities of prototypes and candidates.
        candidates: E entries with N tokens together.
        table: (E, O), see :func:`validity`; an object is served by the entries that hold it.

    Returns:
        (1, O, Cv, M).
    """
    sample = candidates[0]["value"]
    value = sample.new_zeros(1, table.shape[1], sample.shape[2], scores.shape[1])
    parts = scores.split([entry.tokens for entry in candidates], dim=-1)
    for column in table.T.unique(dim=0):
        if not column.any():
            continue
        numbers = column.nonzero().flatten().tolist()
        objects = (column == table.T).all(dim=1).nonzero().flatten().to(sample.device)
        weights = torch.cat([parts[i] for i in numbers], dim=-1).softmax(dim=-1)[0].to(sample.dtype)
        held = torch.cat([candidates[i]["value"][0, objects] for i in numbers], dim=-1)
        value[0, objects] = held @ weights.T
    return value


def take(entry: CountedEntry, places: Tensor) -> CountedEntry:
    """The tokens numbered ``places`` of an entry of the long-term memory."""
    part = CountedEntry(
        frame=entry.frame, frame_tensors={name: x[..., places] for name, x in entry.frame_tensors.items()},
        object_tensors={name: x[..., places] for name, x in entry.object_tensors.items()}, valid=entry.valid)
    part.use_count, part.life_count = entry.use_count[..., places], entry.life_count[..., places]
    return part


def merged(old: CountedEntry, new: CountedEntry) -> CountedEntry:
    """Two long-term entries that serve the same objects as one, older tokens first."""
    objects = max(old.objects, new.objects)
    values = [torch.cat([e["value"], e["value"].new_zeros(1, objects - e.objects, *e["value"].shape[2:])], dim=1)
              for e in (old, new)]
    both = CountedEntry(frame=old.frame, frame_tensors=joined([old, new]),
                        object_tensors={"value": torch.cat(values, dim=-1)},
                        valid=old.valid if old.objects == objects else new.valid)
    both.use_count = torch.cat([old.use_count, new.use_count], dim=-1)
    both.life_count = torch.cat([old.life_count, new.life_count], dim=-1)
    return both


def trimmed(valid: Tensor) -> tuple[int, ...]:
    """Channels of the objects that an entry of one video serves."""
    return tuple(valid[0].nonzero().flatten().tolist())
