"""What every memory answers: a policy, named in a config, and the state that it makes for each video."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor

from ...utils.errors import ConfigError
from .entry import MemoryEntry

# Tokens that ask and tokens that answer, by name (B, C, L) and (B, C, N) -> similarities (B, L, N).
Similarity = Callable[[Mapping[str, Tensor], Mapping[str, Tensor]], Tensor]


class Memory(ABC):
    """Policy of a memory: what is kept, and within which budget. Holds no tensors."""

    @abstractmethod
    def new(self, training: bool = False, similarity: Similarity | None = None) -> "MemoryState":
        """Return an empty memory for one video, or for one batch of training clips.

        Args:
            training: clips are unrolled, whose frames are few and far apart.
            similarity: how the matching head of the method compares tokens, for memories that compare; None where
                there is no such head.
        """


class MemoryState(ABC):
    """The memory of one video. Iterating gives the entries that a read-out reads.

    Attributes:
        latest: the newest entry that was written, whichever list it went to; no budget refuses it (AOT's short-term
            memory). None before the first one, and when none of its objects is left.
    """

    latest: MemoryEntry | None = None

    @abstractmethod
    def __iter__(self) -> Iterator[MemoryEntry]:
        """Entries that a read-out reads, older ones first."""

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @property
    def tokens(self) -> int:
        """Number of tokens that a read-out reads."""
        return sum(entry.tokens for entry in self)

    @abstractmethod
    def wants(self, frame: int, *, prompted: bool, last: bool) -> bool:
        """Whether frame number ``frame`` is to be written; nothing is on the last one."""

    def is_kept(self, frame: int, prompted: bool) -> bool:
        """Whether frame number ``frame`` will be a memory frame: not one that the next frame replaces.

        Asked before the frame is processed (frame policies of sparse convolutions); asking twice changes nothing.
        """
        return self.wants(frame, prompted=prompted, last=False)

    @abstractmethod
    def add(self, entry: MemoryEntry) -> None:
        """Write a frame and keep the budget."""

    @abstractmethod
    def keep_objects(self, keep: Tensor) -> None:
        """Drop all object channels but ``keep`` (sorted) and the entries that then serve no object."""

    def note_reading(self, entries: list[MemoryEntry], mass: Callable[[], Tensor],  # noqa: B027 - most do not listen
                     share: float) -> None:
        """Told by a head that it has read ``entries``; only memories that count usage listen.

        Args:
            entries: of this memory.
            mass: gives the attention (B, N) that all their tokens received, side by side; computed when called.
            share: of the queries of the frame that were read (heads read in chunks).
        """


def check_counts(policy: Any, optional: tuple[str, ...] = (), **numbers: Any) -> None:
    """Set options of a policy that must be whole numbers of at least 1; those named in ``optional`` may be None."""
    for name, value in numbers.items():
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
        if not whole and not (value is None and name in optional):
            raise ConfigError(f"{type(policy).__name__}.{name} must be a whole number of at least 1"
                              f"{' or None' if name in optional else ''}, got {value!r}")
        setattr(policy, name, value)
