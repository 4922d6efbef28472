"""The sparse convolutions against their dense reference, with and without the extension."""

import pytest
import torch
import vosplug.ops as ops
from hypothesis import given, settings
from torch import nn
from torch.library import opcheck
from torch.utils.flop_counter import FlopCounterMode
from vosplug.ops.sparse_conv import op as op_module

from tests.ops.sparse_conv_cases import build, cases, close, make_policy, reference


@settings(max_examples=80, deadline=None)
@given(cases())
def test_triple_matches_reference(case):
    x, weight, bias, policy, prev, geometry = build(case)
    expected = reference(x, weight, bias, policy, prev, geometry, case["activation"])
    got = ops.triple_sparse_conv2d(x, weight, bias, policy, prev, *geometry, case["activation"])
    assert got.dtype == x.dtype
    close(got, expected, case["dtype"])
    shared = ops.Sites.from_policy(policy)
    got = ops.triple_sparse_conv2d(x, weight, bias, shared, prev, *geometry, case["activation"])
    close(got, expected, case["dtype"])


@settings(max_examples=40, deadline=None)
@given(cases())
def test_residual_and_static_match_reference(case):
    x, weight, bias, policy, prev, geometry = build(case)
    x_prev = torch.randn(x.shape).to(x.dtype) * x.abs().amax() / 4  # as large as x, within the range of its type
    expected = reference(x, weight, None, policy, prev, geometry, None, x_prev)
    close(ops.residual_sparse_conv2d(x, x_prev, weight, policy, prev, *geometry), expected, case["dtype"])
    policy = policy // 2 * 2
    expected = reference(x, weight, bias, policy, None, geometry, case["activation"])
    close(ops.static_sparse_conv2d(x, weight, bias, policy, *geometry, case["activation"]), expected, case["dtype"])


@settings(max_examples=40, deadline=None)
@given(cases())
def test_without_extension_matches_reference(case):
    x, weight, bias, policy, prev, geometry = build(case)
    expected = reference(x, weight, bias, policy, prev, geometry, case["activation"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(op_module, "has_extension", lambda: False)
        got = ops.triple_sparse_conv2d(x, weight, bias, policy, prev, *geometry, case["activation"])
    close(got, expected, case["dtype"])


@settings(max_examples=30, deadline=None)
@given(cases())
def test_gradients_match_reference(case):
    case = {**case, "dtype": torch.float64, "scale": 1.0}
    x, weight, bias, policy, prev, geometry = build(case)
    leaves = [t.clone().requires_grad_() for t in (x, weight, prev)] + ([bias.requires_grad_()] if case["bias"] else [])
    pick = lambda: (leaves[0], leaves[1], leaves[3] if case["bias"] else None, policy, leaves[2])  # noqa: E731
    got = ops.triple_sparse_conv2d(*pick(), *geometry, case["activation"])
    want = ops.sparse_conv2d_reference(*pick(), *geometry, case["activation"])
    seed = torch.randn_like(want)
    grads = torch.autograd.grad(got, leaves, seed, allow_unused=True)
    for g, w in zip(grads, torch.autograd.grad(want, leaves, seed), strict=True):
        torch.testing.assert_close(g, w, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("density", ["random", "sparse", "full"])
def test_gradcheck(density):
    torch.manual_seed(0)
    x = torch.randn(2, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    before = torch.randn_like(x).requires_grad_()
    weight = torch.randn(3, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(3, dtype=torch.float64, requires_grad=True)
    prev = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    policy = make_policy(density, 2, 4, 5)
    triple = lambda *a: ops.triple_sparse_conv2d(a[0], a[1], a[2], policy, a[3], 1, 1, activation="relu")  # noqa: E731
    assert torch.autograd.gradcheck(triple, (x, weight, bias, prev))
    residual = lambda *a: ops.residual_sparse_conv2d(a[0], a[1], a[2], policy, a[3], 1, 1)  # noqa: E731
    assert torch.autograd.gradcheck(residual, (x, before, weight, prev))


def test_second_derivatives_are_refused():
    x, weight = torch.randn(1, 4, 5, 5, requires_grad=True), torch.randn(3, 4, 1, 1, requires_grad=True)
    out = ops.static_sparse_conv2d(x, weight, None, make_policy("full", 1, 5, 5))
    (grad,) = torch.autograd.grad(out.square().sum(), weight, create_graph=True)
    with pytest.raises(NotImplementedError, match="sparse convolution has no second derivative"):
        grad.sum().backward()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_opcheck(dtype):
    torch.manual_seed(0)
    x = torch.randn(1, 16, 6, 7, dtype=dtype, requires_grad=True)
    weight = torch.randn(64, 16, 3, 3, dtype=dtype, requires_grad=True)
    prev = torch.randn(1, 64, 6, 7, dtype=dtype)
    policy = make_policy("random", 1, 6, 7)
    args = op_module.prepare(x, weight, None, policy, prev, None, 1, 1, 1, 1, "relu")
    opcheck(torch.ops.vosplug.sparse_conv2d.default, args)


def test_compile_fullgraph():
    torch.manual_seed(0)
    x, weight = torch.randn(1, 16, 6, 7), torch.randn(64, 16, 3, 3)
    prev, policy = torch.randn(1, 64, 6, 7), make_policy("random", 1, 6, 7)
    call = lambda *a: ops.triple_sparse_conv2d(*a, 1, 1, activation="relu").sin()  # noqa: E731
    compiled = torch.compile(call, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, weight, None, policy, prev), call(x, weight, None, policy, prev))


def test_autocast_casts_like_a_convolution():
    x, weight, prev = torch.randn(1, 16, 6, 7), torch.randn(64, 16, 3, 3), torch.randn(1, 64, 6, 7)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = ops.triple_sparse_conv2d(x, weight, None, make_policy("random", 1, 6, 7), prev, 1, 1)
        assert out.dtype == nn.functional.conv2d(x, weight).dtype == torch.bfloat16


@pytest.mark.parametrize("channels", [(16, 64), (5, 7)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_nan_in_unused_values_stays_out(channels, dtype):
    torch.manual_seed(0)
    c_in, c_out = channels
    for _ in range(20):
        policy = (torch.rand(1, 9, 9) > 0.9).to(torch.uint8) * 2
        policy[torch.rand(1, 9, 9) > 0.8] = 1
        used = nn.functional.max_pool2d((policy == 2).float()[:, None], 3, 1, 1) > 0
        x = torch.where(used, torch.randn(1, c_in, 9, 9), float("nan")).to(dtype).to(memory_format=torch.channels_last)
        prev = torch.where((policy == 1)[:, None], torch.randn(1, c_out, 9, 9), float("nan")).to(dtype)
        weight = torch.randn(c_out, c_in, 3, 3).to(dtype)
        assert ops.triple_sparse_conv2d(x, weight, None, policy, prev, 1, 1).isfinite().all()
        with torch.no_grad():
            assert ops.PreparedConv2d(weight, None, padding=1)(x, policy, prev.clone()).isfinite().all()


def test_nan_in_used_values_is_kept():
    x = torch.full((1, 16, 3, 3), float("nan"))
    policy = torch.full((1, 3, 3), 2, dtype=torch.uint8)
    policy[0, 0] = 0  # below the density from which a dense convolution (whose fused ReLU drops NaN) takes over
    out = ops.triple_sparse_conv2d(x, torch.ones(64, 16, 1, 1), None, policy, None, activation="relu")
    assert out[:, :, 1:].isnan().all()
    assert out[:, :, 0].eq(0).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("groups", [1, 64])
def test_no_dense_convolution_where_the_processor_has_none(monkeypatch, dtype, groups):
    """oneDNN refuses to pack weights of a type that the processor lacks, and takes very long to convolve with them."""
    def refuse(*_):
        raise AssertionError("the dense convolution was called")
    monkeypatch.setattr(op_module, "has_dense_kernels", lambda dtype: False)
    monkeypatch.setattr(op_module, "dense_conv2d", refuse)
    x, weight = torch.randn(1, 64, 6, 7).to(dtype), torch.randn(64, 64 // groups, 1, 1).to(dtype)
    policy = torch.full((1, 6, 7), 2, dtype=torch.uint8)
    out = ops.triple_sparse_conv2d(x, weight, None, policy, None, groups=groups)
    expected = nn.functional.conv2d(x.float(), weight.float(), groups=groups)
    assert torch.allclose(out.float(), expected, atol=0.1, rtol=0.02)


def test_changed_weights_are_noticed_even_through_data():
    x, weight = torch.randn(1, 8, 4, 4), nn.Parameter(torch.randn(16, 8, 1, 1))
    policy = make_policy("full", 1, 4, 4)
    policy[0, 0, 0] = policy[0, 1, 1] = policy[0, 3, 1] = 0
    with torch.no_grad():
        before = ops.triple_sparse_conv2d(x, weight, None, policy, None)
        weight.data[3, 2] = 9.0
        after = ops.triple_sparse_conv2d(x, weight, None, policy, None)
    assert not torch.equal(before, after)
    close(after, reference(x, weight, None, policy, None, (1, 0, 1, 1), None).detach(), torch.float32)


def test_forward_is_deterministic():
    x, weight = torch.randn(1, 64, 20, 30).to(memory_format=torch.channels_last), torch.randn(64, 64, 3, 3)
    policy = make_policy("blob", 1, 20, 30)
    prev = torch.randn(1, 64, 20, 30)
    results = [ops.triple_sparse_conv2d(x, weight, None, policy, prev, 1, 1) for _ in range(3)]
    assert all(torch.equal(results[0], other) for other in results[1:])


def test_flops_are_those_of_the_active_sites():
    x, weight = torch.randn(1, 8, 6, 6), torch.randn(16, 8, 3, 3)
    policy = torch.zeros(1, 6, 6, dtype=torch.uint8)
    policy[0, 2, 1:4] = 2
    with FlopCounterMode(display=False) as counter:
        ops.triple_sparse_conv2d(x, weight, None, policy, None, 1, 1)
    assert counter.get_total_flops() == 2 * 3 * 16 * 8 * 9
    prepared, out = ops.PreparedConv2d(weight, None, padding=1), torch.zeros(1, 16, 6, 6)
    for sites in (policy, ops.Sites.from_policy(policy)):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            prepared(x, sites, out)
        assert counter.get_total_flops() == 2 * 3 * 16 * 8 * 9 or not ops.has_extension()


@pytest.mark.parametrize("form", ["direct", "winograd", "few tiles"])
@pytest.mark.parametrize("last", [True, False])
def test_any_number_of_threads_gives_the_same(form, last):
    channels, size = {"direct": (24, (40, 50)), "winograd": (32, (60, 80)), "few tiles": (256, (8, 10))}[form]
    torch.manual_seed(0)
    weight, policy = torch.randn(128, channels, 3, 3), make_policy("random", 2, *size)
    if form != "direct":
        policy[:, : size[0] // 2] = 2  # Winograd pays where computed sites lie together
        policy[:, size[0] // 2 :].clamp_(max=1)
    x, before = torch.randn(2, channels, *size), torch.randn(2, 128, *size)
    if last:
        x, before = (t.to(memory_format=torch.channels_last) for t in (x, before))
    threads = torch.get_num_threads()
    try:
        results = []
        for count in (1, 2, 3, 5):
            torch.set_num_threads(count)
            results.append(ops.triple_sparse_conv2d(x, weight, None, policy, before, 1, 1))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(results[0], other) for other in results[1:])


X, W, P = torch.zeros(1, 4, 5, 5), torch.zeros(8, 4, 3, 3), torch.zeros(1, 3, 3, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"x": torch.zeros(4, 5, 5)}, "x: expected 4 dimensions"),
        ({"x": torch.zeros(1, 4, 5, 5, dtype=torch.int32)}, "x: expected a floating-point"),
        ({"weight": torch.zeros(8, 3, 3, 3)}, "weight: expected"),
        ({"weight": W.double()}, "weight: expected the dtype"),
        ({"bias": torch.zeros(7)}, "bias: expected shape"),
        ({"policy": P.int()}, "policy: expected a uint8"),
        ({"policy": torch.zeros(1, 5, 5, dtype=torch.uint8)}, "policy: expected shape"),
        ({"prev_out": torch.zeros(1, 8, 5, 5)}, "prev_out: expected shape"),
        ({"stride": 0}, "stride: expected"),
        ({"padding": -1}, "padding: expected"),
        ({"groups": 3}, "groups: expected"),
        ({"activation": "gelu"}, "activation: expected"),
        ({"x": torch.zeros(1, 4, 2, 2)}, "smaller than the kernel"),
    ],
)
def test_wrong_arguments_are_named(change, word):
    arguments = {"x": X, "weight": W, "bias": None, "policy": P, "prev_out": None, **change}
    with pytest.raises(ValueError, match=word):
        ops.triple_sparse_conv2d(**arguments)


def test_wrong_policy_values_and_missing_previous_output():
    with pytest.raises(RuntimeError, match="policy: expected values"):
        ops.triple_sparse_conv2d(X, W, None, P + 3, torch.zeros(1, 8, 3, 3))
    with pytest.raises(RuntimeError, match="prev_out: expected the previous output"):
        ops.triple_sparse_conv2d(X, W, None, P + 1, None)
