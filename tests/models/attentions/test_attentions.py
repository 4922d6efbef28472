"""Kinds of attention against loops over cells, and what they reach and cost."""

import functools
import itertools

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from vosplug.ops.sparse_attention import op as op_module

from vosplug.models.attentions import (
    DenseAttention,
    GridAttention,
    LocalAttention,
    MixedHeadsAttention,
    StridedAttention,
)
from vosplug.models.attentions.reach import reached
from vosplug.utils.errors import ConfigError

MIXED = [dict(type="LocalAttention", h=2), dict(type="StridedAttention", h=2)]
KINDS = {"grid": GridAttention, "local": lambda: LocalAttention(h=3), "strided": lambda: StridedAttention(h=2),
         "dense": DenseAttention, "mixed": lambda: MixedHeadsAttention(MIXED)}
SIZES = [(3, 3, 5), (1, 4, 3), (2, 1, 5), (3, 5, 1)]


def sees(kind, head, p, r):
    """Whether cell p sees cell r, both (t, y, x): the sets of section 3 as they are written."""
    away = [abs(a - b) for a, b in zip(p, r, strict=True)]
    if kind == "mixed":
        kind, h = (("local", 2), ("strided", 2))[head]
    else:
        h = {"local": 3, "strided": 2}.get(kind)
    return {"grid": sum(d == 0 for d in away) >= 2, "local": h is not None and max(away[1:]) < h, "dense": True,
            "strided": h is not None and away[1] % h == 0 and away[2] % h == 0}[kind]


def by_loops(kind, q, k, v, heads, causal, slots, count, clamp):
    """Eq. 6 and Eq. 4, cell by cell; the frames of q are the last of those of k."""
    size, asking = k.shape[2:], q.shape[2]
    cells = list(itertools.product(*map(range, size)))
    out, affinity = torch.zeros(q.shape[0], v.shape[1], *q.shape[2:], dtype=q.dtype), {}
    for b, head in itertools.product(range(q.shape[0]), range(heads)):
        own = [x[b].unflatten(0, (heads, -1))[head] for x in (q, k, v)]
        for p in cells:
            t = p[0] - (size[0] - asking)
            if t < 0:
                continue
            seen = [r for r in cells if sees(kind, head * 2 // heads, p, r) and not (causal and r[0] > p[0])]
            scores = torch.stack([own[0][:, t, p[1], p[2]] @ own[1][(slice(None), *r)] for r in seen])
            values = torch.stack([own[2][(slice(None), *r)] for r in seen])
            width = v.shape[1] // heads
            out[b, head * width : (head + 1) * width, t, p[1], p[2]] = scores.softmax(dim=0) @ values
            for s in range(count):
                mine = [x for x, r in zip(scores, seen, strict=True) if r[0] < p[0] and int(slots[(b, *r)]) == s]
                none = torch.tensor(0.0 if clamp else float("-inf"), dtype=q.dtype)
                affinity[b, head, s, t, p[1], p[2]] = torch.stack([*mine, none]).max()
    shape = (q.shape[0], heads, count, *q.shape[2:])
    return out, torch.stack([affinity[i] for i in itertools.product(*map(range, shape))]).view(shape) if count else None


@functools.cache
def example(kind, size, causal, asking, count):
    """Inputs, and what loops over cells make of them: results and gradients, in float64."""
    torch.manual_seed(0)
    k, v = torch.randn(2, 4, *size, dtype=torch.float64), torch.randn(2, 6, *size, dtype=torch.float64)
    q = torch.randn(2, 4, asking or size[0], *size[1:], dtype=torch.float64)
    slots = torch.randint(-1, max(1, count - 1), (2, *size)) if count else None  # the last slot has no cell
    leaves = [x.requires_grad_() for x in (q, k, v)]
    out, affinity = by_loops(kind, *leaves, 2, causal, slots, count, clamp=not causal)
    grads = torch.autograd.grad(loss_of(out, affinity), leaves)
    return [x.detach() for x in leaves], slots, out.detach(), None if affinity is None else affinity.detach(), grads


def loss_of(out, affinity):
    """A number that depends on every finite result."""
    found = 0 if affinity is None else affinity.masked_fill(affinity.isneginf(), 0).sum()
    return out.square().sum() + found


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_what_loops_over_cells_give(kind, size, compiled, monkeypatch):
    """Forward and backward: heads, labels that no cell has, the last frame alone, causal, both executors."""
    if not compiled:
        monkeypatch.setattr(op_module, "has_extension", lambda: False)
    attention = KINDS[kind]()
    for causal, asking, count in ((False, None, 3), (True, 1, 2), (False, 1, 0)):
        leaves, slots, want, strongest, wanted = example(kind, size, causal, asking, count)
        mine = [x.float().requires_grad_() for x in leaves]
        got = attention(*mine, heads=2, causal=causal, query_frames=asking, slots=slots, count=count,
                        clamp=not causal)
        assert torch.allclose(got.out.double(), want, atol=1e-5)
        assert (got.affinity is None) == (strongest is None)
        if count:
            assert torch.allclose(got.affinity.double(), strongest, atol=1e-5)
        grads = torch.autograd.grad(loss_of(got.out, got.affinity), mine)
        assert all(torch.allclose(a.double(), b, atol=1e-4) for a, b in zip(grads, wanted, strict=True))


@pytest.mark.parametrize("width", [1, 5, 16])
@pytest.mark.parametrize("kind", KINDS)
def test_heads_of_any_width_give_the_same_with_and_without_the_extension(kind, width, monkeypatch):
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 1, 2 * width, 3, 6, 7)
    slots, attention = torch.randint(0, 2, (1, 3, 6, 7)), KINDS[kind]()
    results = []
    for compiled in (True, False):
        if not compiled:
            monkeypatch.setattr(op_module, "has_extension", lambda: False)
        got = attention(q, k, v, heads=2, slots=slots, count=2, affinity_frames=1, with_lse=True)
        assert got.affinity.shape == (1, 2, 2, 1, 6, 7) and got.lse.shape == (1, 2, 3, 6, 7)
        results.append(got)
    for name in ("out", "affinity", "lse"):
        assert torch.allclose(*(getattr(got, name) for got in results), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_huge_scores_in_bfloat16_stay_finite(kind):
    torch.manual_seed(0)
    q, k, v = (x.requires_grad_() for x in torch.randn(3, 1, 8, 3, 4, 5))
    with torch.autocast("cpu", torch.bfloat16):
        got = KINDS[kind]()(q * 70, k * 70, v, heads=2, slots=torch.zeros(1, 3, 4, 5, dtype=torch.long), count=1)
    assert got.affinity.dtype == torch.float32 and got.affinity.max() > 1e4
    (got.out.float().square().sum() + got.affinity.sum() * 1e-4).backward()
    assert all(torch.isfinite(x).all() for x in (got.out, got.affinity, q.grad, k.grad, v.grad))


def test_grid_attention_reaches_everything_in_three_layers():
    size = (4, 5, 6)
    assert GridAttention().pairs(size) == 4 * 5 * 6 * (4 + 5 + 6 - 2)
    layer = reached([GridAttention()] * 3, size, (0, 0, 0))
    assert int((layer == 1).sum()) == 4 + 5 + 6 - 2 and (layer[1:, 1:, 1:] == 3).all() and (layer > 0).all()
    assert (layer[0, 1:, 1:] == 2).all() and (layer[1:, 0, 1:] == 2).all() and (layer[1:, 1:, 0] == 2).all()
    past = reached([GridAttention()] * 3, size, (2, 0, 0), causal=True)
    assert not past[:2].any() and (past[2:] > 0).all()


def test_three_layers_of_grid_attention_are_sums_over_routes():
    """Eq. 10 with identity for the softmax, and queries and keys that stay: only values are handed on."""
    torch.manual_seed(0)
    size = (3, 4, 3)
    cells = list(itertools.product(*map(range, size)))
    q, k, v = torch.randn(3, len(cells), 5, dtype=torch.float64)
    see = torch.tensor([[sees("grid", 0, p, r) for r in cells] for p in cells])
    step = (q @ k.t()) * see
    start, goal = cells.index((0, 0, 0)), cells.index((2, 3, 1))
    by_route = torch.zeros((), dtype=torch.float64)
    routes = [(a, b) for a, b in itertools.product(range(len(cells)), repeat=2)
              if see[start, a] and see[a, b] and see[b, goal]]
    for a, b in routes:
        by_route += step[start, a] * step[a, b] * step[b, goal]
    assert len(routes) == 6  # the orders of the axes
    assert torch.allclose((step @ step @ step)[start, goal], by_route, atol=1e-10)
    many = torch.linalg.matrix_power(see.long().double(), 3).long()
    apart = torch.tensor([[sum(a != b for a, b in zip(p, r, strict=True)) == 3 for r in cells] for p in cells])
    assert (many[apart] == 6).all() and apart.any()
    assert torch.allclose(step @ (step @ (step @ v)), torch.linalg.matrix_power(step, 3) @ v, atol=1e-8)


@pytest.mark.parametrize("size, h", [((2, 13, 13), 4), ((1, 59, 59), 8), ((1, 61, 107), 8)])
def test_local_and_strided_attention_reach_everything_in_two_layers(size, h):
    both = [LocalAttention(h=h), StridedAttention(h=h)]
    corners = [(0, 0, 0), (size[0] - 1, size[1] - 1, size[2] // 2), (0, size[1] // 2, 1)]
    assert all((reached(order, size, start) > 0).all() for order in (both, both[::-1]) for start in corners)
    assert not all((reached(order, size, corners[0]) > 0).all() for order in ([StridedAttention(h=h)] * 2, both[:1]))


def test_wide_windows_and_short_steps_are_dense_attention():
    torch.manual_seed(0)
    size = (3, 5, 7)
    q, k, v = torch.randn(3, 2, 8, *size, dtype=torch.float64)
    slots = torch.randint(0, 2, (2, *size))
    dense, *same = (kind(q, k, v, heads=2, slots=slots, count=2)
                    for kind in (DenseAttention(), LocalAttention(h=7), LocalAttention(h=40), StridedAttention(h=1)))
    for other in same:
        assert torch.allclose(dense.out, other.out, atol=1e-10) and torch.equal(dense.affinity, other.affinity)
    assert DenseAttention().pairs(size) == 105 ** 2 == LocalAttention(h=7).pairs(size)


def test_strided_attention_sees_other_frames():
    """Time is dense: else the affinity would be zero for any buffer of at most h frames."""
    torch.manual_seed(0)
    q, k = torch.rand(2, 1, 8, 4, 9, 9)
    got = StridedAttention(h=8)(q, k, k, slots=torch.zeros(1, 4, 9, 9, dtype=torch.long), count=1, affinity_frames=1)
    assert (got.affinity > 0).all()


DERIVED = {(3, 117, 117, 11): (7.4118, 38.0741, 10.7482, 1295.2308), (4, 59, 59, 8): (1.2832, 8.4448, 2.3466, 148.8981),
           (4, 61, 61, 8): (1.4174, None, None, 170.1377)}


@pytest.mark.parametrize("size", DERIVED, ids=str)
def test_multiply_accumulates_of_three_layers_are_the_derived_ones(size):
    """G MACs of both products at 128 channels; the last size with naive attention is the paper's 170.1 (Table 1)."""
    *grid, h = size
    kinds = (GridAttention(), LocalAttention(h=h), StridedAttention(h=h), DenseAttention())
    for kind, wanted in zip(kinds, DERIVED[size], strict=True):
        assert wanted is None or 3 * 2 * 128 * kind.pairs(tuple(grid)) / 1e9 == pytest.approx(wanted, abs=5e-5)
    q = torch.zeros(1, 128, *grid)
    with FlopCounterMode(display=False) as counter:
        GridAttention()(q, q, q)
    assert 3 * counter.get_total_flops() / 2e9 == pytest.approx(DERIVED[size][0], abs=5e-5)


def test_mixed_heads_are_their_parts_side_by_side():
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 1, 8, 2, 5, 6)
    mixed = MixedHeadsAttention(MIXED)
    got = mixed(q, k, v, heads=4).out
    for part, channels in ((LocalAttention(h=2), slice(0, 4)), (StridedAttention(h=2), slice(4, 8))):
        assert torch.equal(got[:, channels], part(q[:, channels], k[:, channels], v[:, channels], heads=2).out)
    assert mixed.pairs((2, 5, 6)) == (LocalAttention(h=2).pairs((2, 5, 6)) + StridedAttention(h=2).pairs((2, 5, 6))) / 2
    with pytest.raises(ConfigError, match="has 2 parts, which do not divide 3 heads"):
        mixed(q[:, :6], k[:, :6], v[:, :6], heads=3)
    with pytest.raises(ConfigError, match="parts must be at least two attentions"):
        MixedHeadsAttention(MIXED[:1])


@pytest.mark.parametrize("value", [0, -1, 2.5, (2, 3), True])
@pytest.mark.parametrize("kind", [LocalAttention, StridedAttention])
def test_wrong_lengths_are_named(kind, value):
    with pytest.raises(ConfigError, match=f"{kind.__name__}.h must be a whole number of at least 1"):
        kind(h=value)
