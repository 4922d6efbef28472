"""Memories with random entries, and the definition of a read-out."""

import math

import torch

from vosplug.models.memories import FrameBank, MemoryEntry
from vosplug.structures import Rows

GRID, CK, CV = (2, 3), 4, 5
LENGTH = GRID[0] * GRID[1]


def pairs_of(active):
    return Rows.of_table(torch.tensor(active), range(len(active[0])))


def memory_of(valids, seed=0, dtype=torch.float64, grids=None, bank=None):
    """A memory with an entry per (B, O) table of ``valids``; values of absent objects are zero, as they are written."""
    torch.manual_seed(seed)
    memory = FrameBank(every=1).new() if bank is None else bank
    for frame, valid in enumerate(valids):
        valid = torch.tensor(valid)
        grid = GRID if grids is None else grids[frame]
        tokens = LENGTH if grid is None else grid[0] * grid[1]
        value = torch.randn(*valid.shape, CV, tokens, dtype=torch.float64) * valid[:, :, None, None]
        key = torch.randn(len(valid), CK, tokens, dtype=torch.float64)
        memory.add(MemoryEntry(frame, {"key": key.to(dtype)}, {"value": value.to(dtype)}, valid=valid, grid=grid,
                               prompted=frame == 0))
    return memory


def query_of(batch=1, seed=9, dtype=torch.float64):
    return torch.randn(batch, CK, *GRID, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def naive(query, memory, pairs, top_k=None, bias=None):
    """The definition, one number at a time: softmax over the tokens of the entries that hold the object."""
    out = torch.zeros(len(pairs), CV, LENGTH, dtype=torch.float64)
    for p, (b, o) in enumerate(zip(pairs.batch.tolist(), pairs.slot.tolist(), strict=True)):
        tokens = [(e, n) for e in memory if o < e.objects and e.valid[b, o] for n in range(e.tokens)]
        for place in range(LENGTH):
            q = query.flatten(2)[b, :, place].double()
            scored = []
            for e, n in tokens:
                score = -sum(float(q[c] - e["key"][b, c, n]) ** 2 for c in range(CK)) / math.sqrt(CK)
                scored.append((score + (bias(e, n, place) if bias else 0.0), e["value"][b, o, :, n].double()))
            scored = sorted(scored, key=lambda item: -item[0])[:top_k]
            peak = max((s for s, _ in scored), default=0.0)
            total = sum(math.exp(s - peak) for s, _ in scored)
            for s, value in scored:
                out[p, :, place] += math.exp(s - peak) / total * value
    return out.unflatten(-1, GRID)


SAME = [[[True, True]], [[True, True]], [[True, True]]]
LATE = [[[True]], [[True, True]], [[True, True, True]]]
RAGGED = [[[True, False], [True, True]], [[True, True], [True, True]], [[True, True], [True, True]]]
ONE_EACH = [[[True, False], [False, True]], [[True, False], [False, True]]]
