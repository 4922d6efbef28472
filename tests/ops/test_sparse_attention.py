"""Grid, local and strided attention against dense attention with a mask."""

import pytest
import torch
import vosplug.ops as ops
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.library import opcheck
from torch.utils.flop_counter import FlopCounterMode
from vosplug.ops.sparse_attention import op as op_module
from vosplug.ops.sparse_attention.patterns import count_pairs
from vosplug.ops.sparse_attention.reference import connectivity

TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-5, torch.bfloat16: 2e-2, torch.float16: 3e-3}


@st.composite
def cases(draw):
    pattern = draw(st.sampled_from(["grid", "local", "strided"]))
    low, high = {"grid": (0, 0), "local": (0, 4), "strided": (1, 4)}[pattern]
    frames = draw(st.integers(1, 4))
    asking = draw(st.sampled_from([None, None, 1, frames, draw(st.integers(1, frames))]))
    return {
        "pattern": pattern,
        "params": [] if pattern == "grid" else [draw(st.integers(low, high)) for _ in range(3)],
        "size": (frames, draw(st.integers(1, 11)), draw(st.integers(1, 20))),
        "asking": asking,
        "told": draw(st.sampled_from([None, 1])),
        "clamp": draw(st.booleans()),
        "with_lse": draw(st.booleans()),
        "batch": draw(st.integers(1, 2)),
        "heads": draw(st.sampled_from([1, 1, 2, 3])),
        "depth": draw(st.sampled_from([1, 3, 16, 37])),
        "value_depth": draw(st.sampled_from([1, 5, 32])),
        "causal": draw(st.booleans()),
        "objects": draw(st.sampled_from([0, 1, 3])),
        "dtype": draw(st.sampled_from([torch.float32, torch.float32, torch.bfloat16, torch.float16, torch.float64])),
        "scale": draw(st.sampled_from([1.0, 0.1, 30.0])),
        "last": draw(st.booleans()),
        "seed": draw(st.integers(0, 99)),
    }


def build(case, dtype=None):
    torch.manual_seed(case["seed"])
    dtype = dtype or case["dtype"]
    shape = lambda depth: (case["batch"], case["heads"] * depth, *case["size"])  # noqa: E731
    q, k = (torch.randn(shape(case["depth"])).to(dtype) for _ in range(2))
    q = q[:, :, -(case["asking"] or case["size"][0]) :]
    v = torch.randn(shape(case["value_depth"])).to(dtype)
    if case["last"]:
        q, k, v = (t.to(memory_format=torch.channels_last_3d) for t in (q, k, v))
    labels = torch.randint(-1, case["objects"] + 1, (case["batch"], *case["size"])) if case["objects"] else None
    names = ("heads", "scale", "causal", "clamp", "with_lse")
    options = {"labels": labels, "num_objects": case["objects"], "affinity_frames": case["told"]}
    return q, k, v, {**options, **{name: case[name] for name in names}}


def call(case, q, k, v, options):
    function = {"grid": ops.grid_attention, "local": ops.local_attention, "strided": ops.strided_attention}
    options = {**options, "query_frames": case["asking"]}
    result = function[case["pattern"]](q, k, v, *([case["params"]] if case["params"] else []), **options)
    parts = list(result) if isinstance(result, tuple) else [result]
    if not case["objects"]:
        parts.insert(1, None)
    return parts


def compare(case, got, want):
    for g, w in zip(got, want, strict=True):
        if w is None:
            assert g is None
            continue
        assert torch.equal(g.isneginf(), w.isneginf())
        g, w = (x.double().masked_fill(w.isneginf(), 0) for x in (g, w))
        scale = max(1.0, float(w.abs().max()))
        tolerance = TOLERANCE[case["dtype"]] * scale * max(1.0, case["scale"])
        torch.testing.assert_close(g, w, rtol=0, atol=tolerance)


def check_case(case):
    q, k, v, options = build(case)
    want = ops.sparse_attention_reference(
        q.double(), k.double(), v.double(), case["pattern"], case["params"], **options
    )
    got = call(case, q, k, v, options)
    assert got[0].dtype == q.dtype
    compare(case, got, want)


@settings(max_examples=80, deadline=None)
@given(cases())
def test_attention_matches_the_reference(case):
    check_case(case)


@settings(max_examples=40, deadline=None)
@given(cases())
def test_without_extension_attention_matches_reference(case):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(op_module, "has_extension", lambda: False)
        check_case(case)


def losses_of(results, seeds):
    """A number that depends on every finite result."""
    pairs = [(r, s) for r, s in zip(results, seeds, strict=True) if r is not None]
    return sum((r.masked_fill(r.isneginf(), 0) * s.to(r)).sum() for r, s in pairs)


def check_gradients(case, tolerance):
    q, k, v, options = build(case)
    leaves = [t.requires_grad_() for t in (q, k, v)]
    got = call(case, *leaves, options)
    up = [t.detach().double().requires_grad_() for t in leaves]
    want = ops.sparse_attention_reference(*up, case["pattern"], case["params"], **options)
    seeds = [None if w is None else torch.randn_like(w) for w in want]
    grads = [torch.autograd.grad(losses_of(results, seeds), own) for results, own in ((got, leaves), (want, up))]
    for g, w, like in zip(*grads, leaves, strict=True):
        assert g.shape == like.shape
        torch.testing.assert_close(g.double(), w, rtol=0, atol=tolerance * max(1.0, float(w.abs().max())))


@settings(max_examples=40, deadline=None)
@given(cases())
def test_gradients_match_the_reference(case):
    check_gradients({**case, "dtype": torch.float64}, 1e-8)


@settings(max_examples=80, deadline=None)
@given(cases())
def test_compiled_backward_matches_the_reference(case):
    check_gradients({**case, "dtype": torch.float32, "scale": min(case["scale"], 1.0)}, 1e-4)


def test_second_derivatives_are_refused():
    q = torch.randn(1, 4, 2, 3, 3, requires_grad=True)
    (grad,) = torch.autograd.grad(ops.grid_attention(q, q, q).square().sum(), q, create_graph=True)
    with pytest.raises(NotImplementedError, match="sparse attention has no second derivative"):
        grad.sum().backward()


@pytest.mark.parametrize("call_of", [ops.grid_attention, lambda *a, **o: ops.local_attention(*a, 4, **o)])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_later_frames_never_reach_earlier_ones(call_of, value):
    if not ops.has_extension():
        pytest.skip("needs the compiled extension: the PyTorch code multiplies hidden values by zero (docs/ops.md)")
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, 8, 3, 5, 6) for _ in range(3))
    want = call_of(q, k, v, causal=True)
    for tensor in (k, v):
        tensor[:, :, 2] = value
    got = call_of(q, k, v, causal=True)
    torch.testing.assert_close(got[:, :, :2], want[:, :, :2])
    assert value == float("inf") or got[:, :, 2].isnan().all()


def test_float32_gradients_follow_the_compiled_forward():
    torch.manual_seed(0)
    leaves = [torch.randn(1, 32, 3, 9, 11, requires_grad=True) for _ in range(3)]
    labels = torch.randint(0, 2, (1, 3, 9, 11))
    out, affinity = ops.grid_attention(*leaves, heads=2, scale=0.25, labels=labels, num_objects=2)
    grads = torch.autograd.grad(out.square().sum() + affinity.square().sum(), leaves)
    up = [t.detach().double().requires_grad_() for t in leaves]
    want = ops.sparse_attention_reference(*up, "grid", [], 2, 0.25, False, labels, 2)
    for g, w in zip(grads, torch.autograd.grad(want[0].square().sum() + want[1].square().sum(), up), strict=True):
        torch.testing.assert_close(g.double(), w, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("pattern", "params"), [("grid", []), ("local", [1, 2, 1]), ("strided", [1, 2, 3])])
def test_gradcheck_and_opcheck(pattern, params):
    torch.manual_seed(0)
    leaves = [torch.randn(1, 2, 2, 4, 5, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    labels = torch.randint(0, 2, (1, 2, 4, 5))

    def run(q, k, v):
        return op_module.sparse_attention(q, k, v, 2, 0.5, pattern, params, False, labels, 2, True, q.shape[2])[:3]

    assert torch.autograd.gradcheck(run, leaves)
    assert torch.autograd.gradcheck(run, (leaves[0][:, :, 1:].detach().requires_grad_(), *leaves[1:]))
    for clamp, told in ((True, 2), (False, 1)):
        rest = (2, 0.5, pattern, params, True, labels, 2, clamp, told)
        opcheck(torch.ops.vosplug.sparse_attention.default,
                (*(t.detach().float().requires_grad_() for t in leaves), *rest))
        opcheck(torch.ops.vosplug.sparse_attention.default, (*leaves, *rest))


def test_attention_compiles_and_autocasts():
    q = torch.randn(1, 8, 2, 5, 6)
    run = lambda t: ops.local_attention(t, t, t, 2).sin()  # noqa: E731
    torch.testing.assert_close(torch.compile(run, fullgraph=True, backend="aot_eager")(q), run(q))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert ops.grid_attention(q, q, q).dtype == torch.bfloat16


@pytest.mark.parametrize("causal", [False, True])
def test_flops_count_the_pairs(causal):
    size = (3, 5, 7)
    for pattern, params in (("grid", ()), ("local", (1, 2, 3)), ("strided", (1, 2, 3))):
        see = connectivity(pattern, size, params, causal)
        assert count_pairs(pattern, size, params, causal) == int(see.sum())
        assert count_pairs(pattern, size, params, causal, 1) == int(see[-35:].sum())
    q = torch.randn(2, 4, *size)
    with FlopCounterMode(display=False) as counter:
        ops.grid_attention(q, q, q[:, :2])
    assert counter.get_total_flops() == 2 * 2 * (3 * 5 * 7 * (3 + 5 + 7 - 2)) * (4 + 2)


def test_huge_scores_stay_finite():
    q = torch.full((1, 16, 2, 3, 4), 1e4)
    assert ops.grid_attention(q, q, q).isfinite().all()
    assert torch.allclose(ops.local_attention(q, -q, q, 1), q)


Q = torch.zeros(1, 4, 2, 3, 3)


@pytest.mark.parametrize(
    ("arguments", "options", "word"),
    [
        ((Q[0], Q, Q), {}, "q: expected 5 dimensions"),
        ((Q, Q[:, :2], Q), {}, "k: expected shape"),
        ((Q[:, :, 1:], Q, Q), {}, "k: expected shape"),
        ((Q, Q, Q), {"query_frames": 1}, "q: expected shape"),
        ((Q, Q, Q), {"query_frames": 3}, r"query_frames: expected a whole number in 1..2"),
        ((Q, Q, Q), {"affinity_frames": 0}, r"affinity_frames: expected a whole number in 1..2"),
        ((Q, Q, Q.double()), {}, "v: expected the dtype"),
        ((Q, Q, Q), {"heads": 3}, "heads: expected a divisor"),
        ((Q, Q, Q), {"num_objects": 2}, "labels and num_objects"),
        ((Q, Q, Q), {"num_objects": 2, "labels": torch.zeros(1, 3, 3)}, "labels: expected whole"),
        ((Q, Q, Q), {"num_objects": 2, "labels": torch.zeros(1, 3, 3, dtype=torch.int64)}, "labels: expected shape"),
    ],
)
def test_wrong_arguments_are_named(arguments, options, word):
    with pytest.raises(ValueError, match=word):
        ops.grid_attention(*arguments, **options)
    with pytest.raises(ValueError, match="radius: expected"):
        ops.local_attention(Q, Q, Q, -1)
    with pytest.raises(ValueError, match="stride: expected"):
        ops.strided_attention(Q, Q, Q, 0)
