"""Object ids and the channels they occupy."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from numbers import Integral

from ..utils.errors import InputError, did_you_mean


@dataclass(frozen=True)
class ObjectIds:
    """The ids of the objects of one video, in the order of their channels. Immutable: changes return a new one.

    An id names one object for the whole life of a video: once removed it cannot be given to another object.

    Attributes:
        ids: id of each channel.
        retired: ids that were removed.
    """

    ids: tuple[int, ...] = ()
    retired: frozenset[int] = frozenset()

    def __post_init__(self):
        for value in self.ids:
            if not isinstance(value, int) or not 1 <= value <= 65535:
                raise InputError(f"an object id must be a whole number in 1..65535, got {value!r}")
        if len(set(self.ids)) != len(self.ids):
            raise InputError(f"object ids must be different, got {self.ids}")

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[int]:
        return iter(self.ids)

    def __contains__(self, value: int) -> bool:
        return value in self.ids

    def channel(self, value: int) -> int:
        """Channel of an id, counted from 0 without background."""
        if value not in self.ids:
            raise InputError(f"no object with id {value}; known ids: {list(self.ids)}"
                             f"{did_you_mean(str(value), map(str, self.ids))}")
        return self.ids.index(value)

    def add(self, values: Iterable[int]) -> "ObjectIds":
        """Return ids with ``values`` appended; ids in use are kept as they are, removed ids are refused."""
        new = list(values)
        if not all(isinstance(v, Integral) for v in new):
            raise InputError(f"object ids must be whole numbers, got {new}")
        new = [int(v) for v in new]
        reused = sorted(self.retired.intersection(new))
        if reused:
            raise InputError(f"object id {reused[0]} was removed earlier in this video and cannot be used again: "
                             "give the new object a new id")
        return ObjectIds(self.ids + tuple(v for v in new if v not in self.ids), self.retired)

    def remove(self, values: Iterable[int]) -> "ObjectIds":
        """Return ids without ``values``; each must exist."""
        gone = set(values)
        for value in gone:
            self.channel(value)
        return ObjectIds(tuple(v for v in self.ids if v not in gone), self.retired | gone)
