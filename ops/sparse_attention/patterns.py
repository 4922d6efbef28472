"""Which cells of a (T, H, W) grid see which others (SST, section 3), as blocks in which every query meets every key."""

import functools
from dataclasses import dataclass, replace

import torch
from torch import Tensor

NOT_SELF, CAUSAL, WINDOW, TIME_LINE = 1, 2, 4, 8  # as in attention_job.h
_TILE = 8


@dataclass(frozen=True)
class Blocks:
    """Blocks of one shape. Cells are numbered t*H*W + y*W + x; -1 is no cell.

    Attributes:
        q_index, k_index: (n, queries) and (n, keys) int32.
        rule: sum of NOT_SELF, CAUSAL, WINDOW, TIME_LINE: what a query does not see, or sees besides.
        radius: of the window (frames, rows, columns).
        first, last: whether the cells were not, or will not be, queries of other blocks.
        groups: queries that follow each other and look at the same keys; how many keys on from one group to the next;
            how many keys. Zeros: every query looks at all keys.
    """

    q_index: Tensor
    k_index: Tensor
    rule: int
    radius: tuple[int, int, int]
    first: bool
    last: bool
    groups: tuple[int, int, int] = (0, 0, 0)


def _cells(size: tuple[int, int, int]) -> Tensor:
    return torch.arange(size[0] * size[1] * size[2], dtype=torch.int32).reshape(size)


@functools.lru_cache(maxsize=64)
def blocks_of(
    pattern: str, size: tuple[int, int, int], params: tuple[int, ...], causal: bool, fused: bool, device: torch.device,
    queries: int | None = None, of_keys: bool = False,
) -> tuple[Blocks, ...]:  # fmt: skip
    """Return the blocks of ``pattern`` on a grid of ``size`` (T, H, W).

    Args:
        fused: as the compiled kernel wants them.
        queries: the last so many frames ask; None for all.
        of_keys: turned round, for the gradient of keys and values: ``q_index`` holds all keys, ``k_index`` the queries
            that see them. Only ``fused``.
    """
    asking = (size[0] - (size[0] if queries is None else queries), size[0])
    frames = ((0, size[0]), asking) if of_keys else (asking, (0, size[0]))
    if pattern == "grid":
        made = _grid(size, causal, fused, *frames)
    elif pattern == "local":
        made = _local(size, params, causal, *frames)
    else:
        made = _strided(size, params, causal, *frames)
    return tuple(replace(b, q_index=b.q_index.to(device), k_index=b.k_index.to(device)) for b in made)


def _only(cells: Tensor, plane: int, span: tuple[int, int]) -> Tensor:
    """Cells of the frames of ``span`` (begin, end); -1 for the others."""
    return torch.where((cells >= span[0] * plane) & (cells < span[1] * plane), cells, -1)


def _grid(size, causal, fused, asking, asked) -> list[Blocks]:
    """Rows, columns and time lines; the cell itself counts with its row only."""
    cells, none, plane = _cells(size), (0, 0, 0), size[1] * size[2]
    rule = CAUSAL * causal
    own = cells[slice(*asking)]
    rows = own.transpose(0, 1).reshape(-1, size[2])  # frames of a row in turn: they share their time lines
    columns = own.permute(0, 2, 1).reshape(-1, size[1]).contiguous()
    row_keys, column_keys = _only(rows, plane, asked), _only(columns, plane, asked)
    if fused:  # the time line rides on the pass over the rows
        return [
            Blocks(rows, row_keys, rule | TIME_LINE, none, True, False),
            Blocks(columns, column_keys, rule | NOT_SELF, none, False, True),
        ]
    lines = cells.reshape(size[0], -1).t().contiguous()
    return [
        Blocks(rows, row_keys, rule, none, True, False),
        Blocks(columns, column_keys, rule | NOT_SELF, none, False, False),
        Blocks(lines[:, slice(*asking)].contiguous(), lines[:, slice(*asked)], rule | NOT_SELF, none, False, True),
    ]


def _strided(size, stride, causal, asking, asked) -> list[Blocks]:
    """Cells that are whole multiples of the stride apart on every axis form blocks that know nothing of each other."""
    cells, groups = _cells(size), {}
    for t in range(min(stride[0], size[0])):
        times = torch.arange(t, size[0], stride[0])
        for y in range(min(stride[1], size[1])):
            for x in range(min(stride[2], size[2])):
                group = cells[t :: stride[0], y :: stride[1], x :: stride[2]]
                pair = [group[(times >= span[0]) & (times < span[1])].reshape(-1) for span in (asking, asked)]
                if pair[0].numel():
                    groups.setdefault((pair[0].numel(), pair[1].numel()), []).append(pair)
    index = [[torch.stack(part) for part in zip(*same, strict=True)] for same in groups.values()]
    nobody = torch.full((1, 1), -1, dtype=torch.int32)  # a block needs a key, if only one that nobody sees
    keys = [seen if seen.numel() else nobody.expand(len(own), 1).contiguous() for own, seen in index]
    rule, none = CAUSAL * causal, (0, 0, 0)
    return [Blocks(own, seen, rule, none, True, True) for (own, _), seen in zip(index, keys, strict=True)]


def _local(size, radius, causal, asking, asked) -> list[Blocks]:
    """Tiles of queries, and as keys the tile with a margin of the radius; both row by row, all frames of a row in turn.

    So the queries of one row of the tile look at keys that lie side by side.
    """
    frames, height, width = size
    radius = tuple(min(r, s - 1) for r, s in zip(radius, size, strict=True))
    together = 2 * radius[0] + 1 >= frames
    tile = (asking[1] - asking[0] if together else 1, min(_TILE, height), min(_TILE, width))
    shape = (frames + 2 * radius[0], *(s + t + 2 * r for s, t, r in zip(size[1:], tile[1:], radius[1:], strict=True)))
    padded = torch.full(shape, -1, dtype=torch.int32)
    padded[tuple(slice(r, r + s) for r, s in zip(radius, size, strict=True))] = _cells(size)
    seen = _only(padded, height * width, asked)
    queries, keys = [], []
    for t in range(*asking, tile[0]):
        span = slice(radius[0] + asked[0], radius[0] + asked[1]) if together else slice(t, t + 1 + 2 * radius[0])
        own = slice(radius[0] + t, radius[0] + t + tile[0])
        for y in range(0, height, tile[1]):
            for x in range(0, width, tile[2]):
                inner = padded[own, y + radius[1] : y + radius[1] + tile[1], x + radius[2] : x + radius[2] + tile[2]]
                outer = seen[span, y : y + tile[1] + 2 * radius[1], x : x + tile[2] + 2 * radius[2]]
                queries.append(inner.transpose(0, 1).reshape(-1))
                keys.append(outer.transpose(0, 1).reshape(-1))
    step = (span.stop - span.start) * (tile[2] + 2 * radius[2])
    groups = (tile[0] * tile[2], step, step * (2 * radius[1] + 1))
    return [Blocks(torch.stack(queries), torch.stack(keys), CAUSAL * causal | WINDOW, radius, True, True, groups)]


def visible(blocks: Blocks, size: tuple[int, int, int], part: slice) -> Tensor:
    """(n, queries, keys) bool of the blocks ``part``: who sees whom."""
    q, k = blocks.q_index[part, :, None], blocks.k_index[part, None, :]
    plane = size[1] * size[2]
    see = (q >= 0) & (k >= 0)
    if blocks.rule & NOT_SELF:
        see &= q != k
    if blocks.rule & CAUSAL:
        see &= k.div(plane, rounding_mode="floor") <= q.div(plane, rounding_mode="floor")
    if blocks.rule & WINDOW:
        steps = ((plane, size[0]), (size[2], size[1]), (1, size[2]))
        for (step, count), radius in zip(steps, blocks.radius, strict=True):
            away = q.div(step, rounding_mode="floor") % count - k.div(step, rounding_mode="floor") % count
            see &= away.abs() <= radius
    return see


def count_pairs(
    pattern: str, size: tuple[int, int, int], params: tuple[int, ...], causal: bool, queries: int | None = None
) -> int:
    """Return how many (query, key) pairs the pattern has, without listing them; the last ``queries`` frames ask."""

    def pairs(length: int, near, ordered: bool, first: int = 0) -> int:
        return sum(near(i, j) and not (ordered and j > i) for i in range(first, length) for j in range(length))

    frames, height, width = size
    first = frames - (frames if queries is None else queries)
    if pattern == "grid":
        line = pairs(frames, lambda i, j: i != j, causal, first)
        return (frames - first) * height * width * (height + width - 1) + height * width * line
    if pattern == "local":
        tests = [lambda i, j, r=r: abs(i - j) <= r for r in params]
    else:
        tests = [lambda i, j, h=h: (i - j) % h == 0 for h in params]
    counts = [pairs(s, test, causal and axis == 0, first if axis == 0 else 0)
              for axis, (s, test) in enumerate(zip(size, tests, strict=True))]
    return counts[0] * counts[1] * counts[2]
