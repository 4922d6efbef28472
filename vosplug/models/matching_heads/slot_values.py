"""Values of slots beside those of other slots."""

import torch
from torch import Tensor


def slot_masks(slots: Tensor, count: int) -> Tensor:
    """(B, h, w) numbers of slots -> (B, S, h, w) bool."""
    return slots[:, None] == torch.arange(count, device=slots.device)[:, None, None]


def best_of_others(x: Tensor, largest: bool) -> Tensor:
    """(B, S, M, h, w) -> for each slot the best value of the other slots; its own if there is no other.

    Args:
        largest: the largest value is the best; else the smallest.
    """
    if x.shape[1] == 1:
        return x
    (best, second), (where, _) = (part.unbind(dim=1) for part in x.topk(2, dim=1, largest=largest))
    mine = where[:, None] == torch.arange(x.shape[1], device=x.device)[:, None, None, None]
    return torch.where(mine, second[:, None], best[:, None])
