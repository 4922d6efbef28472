"""Which memorised frame goes when the budget is full."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...registry import EVICTIONS

if TYPE_CHECKING:
    from .frame_bank import MemoryEntry


@EVICTIONS.register_module()
class OldestFirst:
    """The frame that was written first."""

    counts_usage = False

    def choose(self, candidates: list[MemoryEntry], kept: list[MemoryEntry]) -> MemoryEntry:
        """Return one of ``candidates``; ``kept`` are all kept entries in order of time."""
        return min(candidates, key=lambda entry: entry.frame)


@EVICTIONS.register_module()
class EvenlySpaced:
    """The frame whose two neighbours in time are closest together, so that the memory spans the video evenly."""

    counts_usage = False

    def choose(self, candidates: list[MemoryEntry], kept: list[MemoryEntry]) -> MemoryEntry:
        """Return one of ``candidates``; ``kept`` are all kept entries in order of time."""
        frames = [entry.frame for entry in kept]

        def gap(entry: MemoryEntry) -> int:
            place = frames.index(entry.frame)
            before = frames[place - 1] if place else -1
            after = frames[place + 1] if place + 1 < len(frames) else frames[place] + 1
            return after - before

        return min(candidates, key=gap)


@EVICTIONS.register_module()
class LeastUsed:
    """The frame that received the least attention per query since it was written."""

    counts_usage = True

    def choose(self, candidates: list[MemoryEntry], kept: list[MemoryEntry]) -> MemoryEntry:
        """Return one of ``candidates``; ``kept`` are all kept entries in order of time."""
        return min(candidates, key=lambda entry: (entry.usage / max(entry.reads, 1), entry.frame))
