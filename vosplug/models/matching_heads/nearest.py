"""Nearest neighbours among embeddings, in blocks: which cell is nearest, and how far it is."""

import torch
import torch.nn.functional as F
from torch import Tensor

QUERIES = 256  # at least so many are searched for at a time, as far as the bound allows


@torch.no_grad()
def nearest(query: Tensor, keys: Tensor, max_elements: int) -> Tensor:
    """Which of ``keys`` (N, C) is nearest to each of ``query`` (L, C): (L,) int64, the first one of several.

    Args:
        max_elements: distances that exist at a time.
    """
    key_step = min(len(keys), max(1, max_elements // QUERIES))
    query_step = min(len(query), max(1, max_elements // key_step))
    room = query.new_empty(query_step * key_step)  # one for all blocks: the C allocator may keep many of this size
    parts = []
    for part in query.split(query_step):
        best = where = None
        for start in range(0, len(keys), key_step):
            some = keys[start : start + key_step]
            # The square of the query is the same for all keys.
            block = room[: len(part) * len(some)].view(len(part), len(some))
            squares = some.square().sum(dim=1)[None]
            distance, index = torch.addmm(squares, part, some.t(), alpha=-2, out=block).min(dim=1)
            if best is None:
                best, where = distance, index
            else:
                nearer = distance < best
                best, where = torch.where(nearer, distance, best), torch.where(nearer, index + start, where)
        parts.append(where)
    return torch.cat(parts)


@torch.no_grad()
def nearest_around(query: Tensor, keys: Tensor, slots: Tensor, count: int, radii: tuple[int, ...]) -> Tensor:
    """Which cell of each slot within a window around its own place is nearest to each cell.

    Args:
        query, keys: (h, w, C).
        slots: (h, w) int64, the slot of each key; -1 for none.
        count: S.
        radii: of the windows.

    Returns:
        (S, windows, h, w) int64, cells of ``keys`` numbered row by row; -1 where the window has no cell of the slot.
    """
    height, width = slots.shape
    most = max(radii)
    margin = (most,) * 4
    padded = F.pad(keys, (0, 0, *margin))
    square = F.pad(keys.square().sum(dim=2), margin, value=float("inf"))
    side = 2 * most + 1
    distance = query.new_empty(side, side, height, width)
    for y in range(side):
        rows = padded[y : y + height]
        for x in range(side):
            torch.sum(query * rows[:, x : x + width], dim=2, out=distance[y, x])
    windows = square.unfold(0, height, 1).unfold(1, width, 1)
    distance.mul_(-2).add_(windows)
    own = F.pad(slots, margin, value=-1).unfold(0, height, 1).unfold(1, width, 1)
    place = torch.arange(height, device=slots.device)[:, None] * width + torch.arange(width, device=slots.device)
    found = []
    for slot in range(count):
        masked = distance.masked_fill(own != slot, float("inf"))
        for radius in radii:
            near = slice(most - radius, most + radius + 1)
            best, index = masked[near, near].flatten(0, 1).min(dim=0)
            dy, dx = index // (2 * radius + 1) - radius, index % (2 * radius + 1) - radius
            found.append(torch.where(best.isinf(), -1, place + dy * width + dx))
    return torch.stack(found).unflatten(0, (count, len(radii)))


def squared_distance(query: Tensor, keys: Tensor, index: Tensor) -> Tensor:
    """Squared distance of each of ``query`` (L, C) to the key (N, C) that ``index`` (L,) names, differentiable."""
    return (query - keys.index_select(0, index)).square().sum(dim=1)
