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
    st.sampled_from([None, 1.0, 0.5]),
    st.sampled_from([(torch.float64, 1e-10), (torch.float32, 1e-4)]),
)
def test_deformable_matches_the_equations(size, grid, heads_groups, radius, biased, gated, kind):
    heads, groups = heads_groups
    tensors, gate = build(size, grid, 6, heads, 3, groups, dtype=kind[0])
    gate = None if gated is None else gate[:, : int(gated * gate.shape[1])]
    bias = None
    if radius is not None and biased:
        bias = torch.randn(2, heads * (2 * radius + 1) ** 2, *size, dtype=kind[0])
    got = ops.deformable_attention(*tensors, heads=heads, radius=radius, bias=bias, gate=gate)
    up = [t.double() for t in tensors]
    bias, gate = (None if x is None else x.double() for x in (bias, gate))
    want = ops.deformable_attention_reference(*up, heads=heads, radius=radius, bias=bias, gate=gate)
    assert got.dtype == kind[0]
    torch.testing.assert_close(got.double(), want, rtol=0, atol=kind[1] * max(1.0, float(want.abs().max())))


@pytest.mark.parametrize("radius", [None, 2])
def test_gradcheck(radius):
    tensors, gate = build(batch=1)
    bias = None if radius is None else torch.randn(1, 2 * 25, 5, 7, dtype=torch.float64, requires_grad=True)
    leaves = [t.requires_grad_() for t in (*tensors, gate)]
    assert torch.autograd.gradcheck(
        lambda bias, *a: ops.deformable_attention(*a[:-1], heads=2, radius=radius, bias=bias, gate=a[-1]),
        [bias, *leaves], atol=1e-4
    )


def test_a_bias_needs_a_window_of_its_size():
    tensors, _ = build()
    with pytest.raises(ValueError, match="bias: needs the radius of a window"):
        ops.deformable_attention(*tensors, heads=2, bias=torch.zeros(2, 18, 5, 7))
    with pytest.raises(ValueError, match=r"bias: expected shape \(B, heads\*\(2\*radius\+1\)\^2, H, W\)"):
        ops.deformable_attention(*tensors, heads=2, radius=2, bias=torch.zeros(2, 18, 5, 7, dtype=torch.float64))


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


@pytest.mark.skipif(not ops.has_extension(), reason="needs the compiled extension: python ops/build.py")
def test_the_compiled_attention_reads_frames_as_one():
    q, frames = torch.randn(2, 5, 6), (7, 3, 400)
    k, v = ([torch.randn(2, count, channels) for count in frames] for channels in (6, 4))
    opcheck(torch.ops.vosplug.dense_attention.default, (q, k, v, 2, 0.5))
    with FlopCounterMode(display=False) as counter:
        got = torch.ops.vosplug.dense_attention(q, k, v, 2, 0.5)
    assert counter.get_total_flops() == 2 * 2 * 5 * sum(frames) * (6 + 4)
    joined = (q, torch.cat(k, 1), torch.cat(v, 1))
    query, key, value = (x.double().unflatten(2, (2, -1)).transpose(1, 2) for x in joined)
    want = (query @ key.transpose(2, 3) * 0.5).softmax(-1) @ value
    torch.testing.assert_close(got.double(), want.transpose(1, 2).flatten(2), rtol=0, atol=1e-5)
