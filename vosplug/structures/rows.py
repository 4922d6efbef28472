"""Whose the rows of object-wise networks are."""

from collections.abc import Container, Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Key = tuple[int, Hashable]


@dataclass(frozen=True)
class Rows:
    """R cells of a table of B videos and S slots: only what exists goes through object-wise networks.

    Most methods have a row for each (video, object); others for each group of objects, or for the background too. A row
    has a key that outlives the coming and going of other rows, so whatever is kept of it is found again by that.

    Attributes:
        batch: (R,) int64, the video of each row, on the device of the model.
        slot: (R,) int64, its column in the table: the object's channel, the number of the group, ...
        keys: ``(video, name)`` of each row: the name is the object's id, ``"group 0"``, ``"background"``, ...
        shape: (B, S).
    """

    batch: Tensor
    slot: Tensor
    keys: tuple[Key, ...]
    shape: tuple[int, int]

    @classmethod
    def of_table(cls, exists: Tensor, names: Sequence[Hashable], device: torch.device | str = "cpu") -> "Rows":
        """Rows of the cells that are true in ``exists`` (B, S) bool on the CPU; ``names`` are those of the S slots."""
        batch, slot = exists.nonzero(as_tuple=True)
        keys = tuple((b, names[s]) for b, s in zip(batch.tolist(), slot.tolist(), strict=True))
        return cls(batch.to(device), slot.to(device), keys, tuple(exists.shape))

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def full(self) -> bool:
        """Whether every cell of the table is a row, so that rows are a plain reshape of it."""
        return len(self.keys) == self.shape[0] * self.shape[1]

    def table(self) -> Tensor:
        """(B, S) bool on the CPU: the cells that are rows."""
        table = torch.zeros(self.shape, dtype=torch.bool)
        table[self.batch.cpu(), self.slot.cpu()] = True
        return table

    def gather(self, x: Tensor) -> Tensor:
        """(B, S, ...) -> (R, ...)."""
        return x.flatten(0, 1) if self.full else x[self.batch, self.slot]

    def expand(self, x: Tensor) -> Tensor:
        """(B, ...) -> (R, ...): what belongs to a frame, repeated for its rows."""
        if self.shape[1] == 1 and self.full:
            return x
        if self.shape[0] == 1:
            return x.expand(len(self), *x.shape[1:])
        return x.index_select(0, self.batch)

    def scatter(self, x: Tensor, fill: float = 0.0) -> Tensor:
        """(R, ...) -> (B, S, ...), ``fill`` where no row exists."""
        if self.full:
            return x.unflatten(0, self.shape)
        out = x.new_full((*self.shape, *x.shape[1:]), fill)
        return out.index_put((self.batch, self.slot), x)

    def select(self, keep: Tensor | Sequence[bool]) -> "Rows":
        """The rows that are true in ``keep`` (R,)."""
        kept = [row for row, wanted in enumerate(keep.tolist() if isinstance(keep, Tensor) else keep) if wanted]
        if len(kept) == len(self):
            return self
        index = torch.tensor(kept, dtype=torch.long, device=self.batch.device)
        return Rows(self.batch[index], self.slot[index], tuple(self.keys[row] for row in kept), self.shape)

    def at(self, places: Tensor) -> "Rows":
        """The rows at ``places`` (M,) int64, in that order."""
        keys = tuple(self.keys[place] for place in places.tolist())
        return Rows(self.batch[places], self.slot[places], keys, self.shape)

    def having(self, keys: Container[Key]) -> "Rows":
        """The rows whose keys are among ``keys``."""
        return self.select([key in keys for key in self.keys])

    def places(self, other: "Rows") -> Tensor:
        """(len(other),) int64: where the rows of ``other`` stand among these.

        Raises:
            KeyError: one of them does not.
        """
        places = {key: row for row, key in enumerate(self.keys)}
        return torch.tensor([places[key] for key in other.keys], dtype=torch.long, device=self.batch.device)
