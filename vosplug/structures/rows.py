"""Whose the rows of object-wise networks are."""

from collections.abc import Hashable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rows:
    """R cells of a table (B videos, S slots).

    Attributes:
        batch, slot: (R,) int64 on the device of the model.
        keys: who each row is; they outlive removals.
        shape: (B, S).
        full: every cell exists, in order.
    """

    batch: Tensor
    slot: Tensor
    keys: tuple[Hashable, ...]
    shape: tuple[int, int]
    full: bool

    @classmethod
    def of_objects(cls, active: Tensor, ids: tuple[int, ...], device: torch.device) -> "Rows":
        """Rows of the active objects, (B, O) bool on the CPU."""
        batch, slot = active.nonzero(as_tuple=True)
        keys = tuple((b, ids[s]) for b, s in zip(batch.tolist(), slot.tolist(), strict=True))
        return cls(batch.to(device), slot.to(device), keys, tuple(active.shape), bool(active.all()))

    def __len__(self) -> int:
        return len(self.keys)

    def select(self, keep: Tensor) -> "Rows":
        """The rows marked in ``keep`` (R,) bool on the CPU."""
        chosen = keep.nonzero().flatten()
        places = chosen.to(self.batch.device)
        keys = tuple(self.keys[i] for i in chosen.tolist())
        return Rows(self.batch[places], self.slot[places], keys, self.shape, self.full and bool(keep.all()))
