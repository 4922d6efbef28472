"""Comparing what states remember, bit by bit."""

from collections.abc import Mapping

import torch


def remembered(state) -> dict:
    """All that a state remembers, but its frame number and the previous masks; tensors of rows by name."""
    return {"ids": state.ids, "active": state.active, "memory": state.memory, "layers": state.layers,
            "cache": state.cache, **{f"objects.{name}": held for name, held in state.objects.held.items()}}


def same(a, b) -> bool:
    """Whether two values are equal at any depth; functions are taken for equal."""
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, Mapping):
        return a.keys() == b.keys() and all(same(value, b[key]) for key, value in a.items())
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if callable(a):
        return True
    return same(vars(a), vars(b)) if hasattr(a, "__dict__") else a == b
