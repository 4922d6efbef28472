"""Tensors that follow the rows of object-wise networks from frame to frame."""

from collections.abc import Container
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .rows import Key, Rows


@dataclass
class RowStore:
    """Named tensors with one row per object (or group, ...): what a method remembers of each of them.

    Rows are found by their keys, so they may come, go and be asked for in any order, and a subset can be written while
    the others keep what they have.

    Attributes:
        held: name -> (keys of the rows, tensor (R, ...)).
    """

    held: dict[str, tuple[tuple[Key, ...], Tensor]] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self.held

    def has(self, name: str, rows: Rows) -> Tensor:
        """(R,) bool on the CPU: which rows have been written."""
        keys = set(self.held[name][0]) if name in self.held else set()
        return torch.tensor([key in keys for key in rows.keys], dtype=torch.bool)

    def read(self, name: str, rows: Rows, default: Tensor | None = None) -> Tensor:
        """(R, ...) values of ``rows``.

        Args:
            default: value of rows that were never written, without the dimension of rows.

        Raises:
            KeyError: a row was never written, and there is no default.
        """
        keys, values = self.held.get(name, ((), None))
        if keys == rows.keys and values is not None:
            return values
        places = {key: place for place, key in enumerate(keys)}
        found = [places.get(key) for key in rows.keys]
        if default is None:
            lacking = next((key for key, place in zip(rows.keys, found, strict=True) if place is None), None)
            if lacking is not None or values is None:
                raise KeyError(f"{name} of {lacking} was never written")
            return values[torch.tensor(found, dtype=torch.long, device=values.device)]
        if values is None:
            return default.expand(len(rows), *default.shape)
        both = torch.cat([values, default[None].to(values)])
        index = [len(values) if place is None else place for place in found]
        return both[torch.tensor(index, dtype=torch.long, device=values.device)]

    def write(self, name: str, rows: Rows, x: Tensor) -> None:
        """Keep ``x`` (R, ...) as the values of ``rows``; other rows keep theirs."""
        keys, values = self.held.get(name, ((), None))
        others = [place for place, key in enumerate(keys) if key not in set(rows.keys)]
        if others:
            rest = values[torch.tensor(others, dtype=torch.long, device=values.device)]
            x = torch.cat([rest.to(x), x])
        self.held[name] = ((*(keys[place] for place in others), *rows.keys), x)

    def keep(self, keys: Container[Key]) -> None:
        """Forget the rows whose keys are not among ``keys``."""
        for name, (own, values) in list(self.held.items()):
            kept = [place for place, key in enumerate(own) if key in keys]
            if not kept:
                del self.held[name]
            elif len(kept) < len(own):
                index = torch.tensor(kept, dtype=torch.long, device=values.device)
                self.held[name] = (tuple(own[place] for place in kept), values[index])

    def forget(self, name: str, keys: Container[Key]) -> None:
        """Forget one of the tensors of the rows whose keys are among ``keys``."""
        own, _ = self.held.get(name, ((), None))
        only = RowStore({name: self.held[name]} if own else {})
        only.drop(keys)
        self.held.pop(name, None)
        self.held.update(only.held)

    def drop(self, keys: Container[Key]) -> None:
        """Forget the rows whose keys are among ``keys``."""
        self.keep({key for own, _ in self.held.values() for key in own if key not in keys})
