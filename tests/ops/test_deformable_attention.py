"""Deformable attention against its equations."""

import pytest
import torch
import vosplug.ops as ops
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.library import opcheck
from torch.utils.flop_counter import FlopCounterMode


def build(size=(5, 7), grid=(2, 3), channels=4, heads=2, depth=3, groups=2, batch=2, dtype=torch.float64, seed=0):
    torch.manual_seed(seed)
    q = torch.randn(batch, heads * depth, *size, dtype=dtype)
    x = torch.randn(batch, channels, *size, dtype=dtype)
    offsets = torch.randn(batch, groups, 2, *grid, dtype=dtype) * 2
    weights = [torch.randn(heads * d, channels, dtype=dtype) for d in (depth, depth + 1)]
    biases = [torch.randn(heads * d, dtype=dtype) for d in (depth, depth + 1)]
    gate = torch.randn(batch, heads * (depth + 1), *size, dtype=dtype)
    return [q, x, offsets, *weights, *biases], gate


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.sampled_from([(1, 1), (2, 2), (3, 1)]),
    st.sampled_from([None, 0, 1, 3]),
    st.booleans(),
    st.sampled_from([(torch.float64, 1e-10), (torch.float32, 1e-4)]),
)
def test_deformable_matches_the_equations(size, grid, heads_groups, radius, gated, kind):
    heads, groups = heads_groups
    tensors, gate = build(size, grid, 6, heads, 3, groups, dtype=kind[0])
    gate = gate if gated else None
    got = ops.deformable_attention(*tensors, heads=heads, radius=radius, gate=gate)
    up = [t.double() for t in tensors]
    want = ops.deformable_attention_reference(
        *up, heads=heads, radius=radius, gate=None if gate is None else gate.double()
    )
    assert got.dtype == kind[0]
    torch.testing.assert_close(got.double(), want, rtol=0, atol=kind[1] * max(1.0, float(want.abs().max())))


def test_gradcheck():
    tensors, gate = build(batch=1)
    leaves = [t.requires_grad_() for t in (*tensors, gate)]
    assert torch.autograd.gradcheck(
        lambda *a: ops.deformable_attention(*a[:-1], heads=2, radius=2, gate=a[-1]), leaves, atol=1e-4
    )


def test_zero_offsets_on_the_full_grid_sample_the_map_itself():
    x = torch.randn(1, 4, 5, 7)
    torch.testing.assert_close(ops.deformable_sample(x, torch.zeros(1, 2, 2, 5, 7)), x)
    assert ops.deformable_sample(x, torch.full((1, 2, 2, 5, 7), 99.0)).eq(0).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_types_and_autocast(dtype):
    tensors, gate = build(dtype=torch.float32)
    want = ops.deformable_attention(*tensors, heads=2, gate=gate)
    got = ops.deformable_attention(*(t.to(dtype) for t in tensors), heads=2, gate=gate.to(dtype))
    torch.testing.assert_close(got.float(), want, rtol=0.1, atol=0.2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = ops.deformable_attention(*tensors, heads=2, gate=gate)
    torch.testing.assert_close(got.float(), want, rtol=0.1, atol=0.2)


def test_many_queries_and_flops():
    tensors, gate = build((23, 37), (9, 11), dtype=torch.float32)
    want = ops.deformable_attention_reference(*(t.double() for t in tensors), heads=2, gate=gate.double())
    got = ops.deformable_attention(*tensors, heads=2, gate=gate)
    torch.testing.assert_close(got.double(), want, rtol=0, atol=1e-4)
    if ops.has_extension():
        q, k, v = torch.randn(1, 5, 6), torch.randn(1, 7, 6), torch.randn(1, 7, 4)
        opcheck(torch.ops.vosplug.dense_attention.default, (q, k, v, 2, 0.5))
        with FlopCounterMode(display=False) as counter:
            torch.ops.vosplug.dense_attention(q, k, v, 2, 0.5)
        assert counter.get_total_flops() == 2 * 5 * 7 * (6 + 4)


def test_compile_fullgraph():
    tensors, gate = build(dtype=torch.float32)
    run = lambda *a: ops.deformable_attention(*a, heads=2, gate=gate)  # noqa: E731
    torch.testing.assert_close(torch.compile(run, fullgraph=True, backend="aot_eager")(*tensors), run(*tensors))


@pytest.mark.parametrize(
    ("position", "value", "word"),
    [
        (0, torch.zeros(2, 6, 5), "q: expected 4 dimensions"),
        (1, torch.zeros(2, 4, 6, 7, dtype=torch.float64), "x: expected shape"),
        (2, torch.zeros(2, 3, 2, 2, 3, dtype=torch.float64), "offsets: expected a number of groups"),
        (2, torch.zeros(2, 2, 3, 2, 3, dtype=torch.float64), "offsets: expected shape"),
        (3, torch.zeros(6, 5, dtype=torch.float64), "key_weight: expected shape"),
    ],
)
def test_wrong_arguments_are_named(position, value, word):
    tensors, _ = build()
    tensors[position] = value
    with pytest.raises(ValueError, match=word):
        ops.deformable_attention(*tensors, heads=2)
    with pytest.raises(ValueError, match="heads: expected a divisor"):
        ops.deformable_attention(*build()[0], heads=4)
