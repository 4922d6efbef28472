"""The sparse convolutions against their dense reference, with and without the extension."""

import pytest
import torch
import torch.nn.functional as F
import vosplug.ops as ops
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.library import opcheck
from torch.utils.flop_counter import FlopCounterMode
from vosplug.ops.sparse_conv import op as op_module
from vosplug.ops.sparse_conv import prepared as prepared_module

TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-5, torch.bfloat16: 2e-2, torch.float16: 2e-3}


def close(got, expected, dtype):
    scale = max(1.0, float(expected.abs().max()))
    torch.testing.assert_close(got.double(), expected.double(), rtol=0, atol=TOLERANCE[dtype] * scale)


def memory(x, kind):
    if kind == "channels_last":
        return x.to(memory_format=torch.channels_last)
    if kind == "sliced":  # strides that belong to no memory format
        wide = x.new_full((x.shape[0], x.shape[1] * 2, x.shape[2], x.shape[3] + 1), float("nan"))
        view = wide[:, ::2, :, 1:]
        view.copy_(x)
        return view
    if kind == "channel_slice":  # channels side by side, pixels further apart than the channels are many
        wide = x.new_full((x.shape[0], x.shape[2], x.shape[3], x.shape[1] + 3), float("nan"))
        view = wide[..., : x.shape[1]].permute(0, 3, 1, 2)
        view.copy_(x)
        return view
    return x.contiguous()


@st.composite
def cases(draw):
    groups = draw(st.sampled_from([1, 1, 1, 2, 3, "depthwise"]))
    if groups == "depthwise":
        groups = c_in = c_out = draw(st.sampled_from([2, 5, 16, 35]))
    else:
        c_in = groups * draw(st.sampled_from([1, 2, 3, 8, 16, 32, 48]))
        c_out = groups * draw(st.sampled_from([1, 3, 8, 16, 64, 70, 128]))
    kernel = draw(st.sampled_from([(1, 1), (3, 3), (3, 3), (3, 3), (2, 3), (5, 1)]))
    plain = draw(st.booleans())
    stride = (1, 1) if plain else draw(st.sampled_from([(1, 1), (2, 2), (1, 2), (3, 1)]))
    dilation = (1, 1) if plain else draw(st.sampled_from([(1, 1), (2, 2), (1, 3)]))
    padding = draw(st.sampled_from([(0, 0), (1, 1), (2, 1)]))
    least = [max(1, dilation[i] * (kernel[i] - 1) + 1 - 2 * padding[i]) for i in (0, 1)]
    height, width = draw(st.integers(least[0], least[0] + 12)), draw(st.integers(least[1], least[1] + 12))
    return {
        "shape": (draw(st.integers(1, 3)), c_in, height, width),
        "c_out": c_out,
        "kernel": kernel,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
        "bias": draw(st.booleans()),
        "activation": draw(st.sampled_from([None, "relu"])),
        "memory": draw(st.sampled_from(["contiguous", "channels_last", "channels_last", "sliced", "channel_slice"])),
        "dtype": draw(st.sampled_from([torch.float32, torch.float32, torch.bfloat16, torch.float16, torch.float64])),
        "policy": draw(st.sampled_from(["random", "random", "sparse", "blob", "zero", "reuse", "full"])),
        "scale": draw(st.sampled_from([1.0, 1.0, 1e4, 1e-4])),
        "seed": draw(st.integers(0, 99)),
    }


def make_policy(kind, batch, height, width):
    if kind == "random":
        return torch.randint(0, 3, (batch, height, width), dtype=torch.uint8)
    if kind == "sparse":
        chosen = torch.rand(batch, height, width)
        return (chosen > 0.5).to(torch.uint8) + (chosen > 0.9).to(torch.uint8)
    if kind == "blob":
        policy = torch.randint(0, 2, (batch, height, width), dtype=torch.uint8)
        policy[:, : height // 2 + 1, : width // 2 + 1] = 2
        return policy
    return torch.full((batch, height, width), {"zero": 0, "reuse": 1, "full": 2}[kind], dtype=torch.uint8)


def build(case):
    torch.manual_seed(case["seed"])
    batch, c_in, height, width = case["shape"]
    groups, (kh, kw), dtype = case["groups"], case["kernel"], case["dtype"]
    scale = min(case["scale"], 1e3) if dtype == torch.float16 else case["scale"]  # float16 ends at 65504
    x = memory((torch.randn(case["shape"]) * scale).to(dtype), case["memory"])
    fan_in = c_in // groups * kh * kw
    weight = (torch.randn(case["c_out"], c_in // groups, kh, kw) / fan_in**0.5).to(dtype)
    bias = torch.randn(case["c_out"]).to(dtype) if case["bias"] else None
    geometry = (case["stride"], case["padding"], case["dilation"], groups)
    out = nn.functional.conv2d(x.float(), weight.float(), None, *geometry)
    policy = make_policy(case["policy"], batch, *out.shape[2:])
    prev = memory(torch.randn(out.shape).to(dtype), case["memory"])
    return x, weight, bias, policy, prev, geometry


def reference(x, weight, bias, policy, prev, geometry, activation, x_prev=None):
    up = [None if t is None else t.double() for t in (x, weight, bias, prev, x_prev)]
    return ops.sparse_conv2d_reference(up[0], up[1], up[2], policy, up[3], *geometry, activation, up[4])


@settings(max_examples=80, deadline=None)
@given(cases())
def test_triple_matches_reference(case):
    x, weight, bias, policy, prev, geometry = build(case)
    expected = reference(x, weight, bias, policy, prev, geometry, case["activation"])
    got = ops.triple_sparse_conv2d(x, weight, bias, policy, prev, *geometry, case["activation"])
    assert got.dtype == x.dtype
    close(got, expected, case["dtype"])
    in_place = prev.clone(memory_format=torch.preserve_format)
    again = ops.triple_sparse_conv2d_(
        x, weight, bias, ops.Sites.from_policy(policy), in_place, *geometry, case["activation"]
    )
    assert again is in_place
    close(in_place, expected, case["dtype"])


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
    args = op_module.prepare(x, weight, None, policy, prev, None, 1, 1, 1, 1, "relu", "prev_out")
    opcheck(torch.ops.vosplug.sparse_conv2d.default, args)
    with torch.no_grad():
        args = op_module.prepare(x.detach(), weight.detach(), None, policy, prev, None, 1, 1, 1, 1, None, "out")
        opcheck(torch.ops.vosplug.sparse_conv2d_.default, args)


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
        out = prev.clone()
        assert ops.triple_sparse_conv2d_(x, weight, None, policy, out, 1, 1).isfinite().all()


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("active", [1, 49, 97, 209])  # one block of sites, and several
@pytest.mark.parametrize("channels", [(1024, 272), (130, 1040)])
def test_pointwise_layers_whose_weights_exceed_the_caches(channels, active, dtype):
    torch.manual_seed(active)
    x = torch.randn(1, channels[0], 11, 19).to(dtype).to(memory_format=torch.channels_last)
    weight = (torch.randn(channels[1], channels[0], 1, 1) / channels[0] ** 0.5).to(dtype)
    policy = torch.zeros(1, 11, 19, dtype=torch.uint8)
    policy.view(-1)[torch.randperm(209)[:active]] = 2
    out = torch.randn(1, channels[1], 11, 19).to(dtype).to(memory_format=torch.channels_last)
    expected = reference(x, weight, None, policy, out, (1, 0, 1, 1), "relu")
    with torch.no_grad():
        ops.PreparedConv2d(weight, None, activation="relu")(x, policy, out)
    close(out, expected, dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size", [(1, 1), (7, 9), (20, 16)])
def test_bottleneck_matches_its_three_convolutions(dtype, size):
    torch.manual_seed(0)
    shapes = [(64, 128, 1, 1), (64, 64, 3, 3), (128, 64, 1, 1)]
    convs = [((torch.randn(s) / (s[1] * s[2] * s[3]) ** 0.5).to(dtype), torch.randn(s[0]).to(dtype)) for s in shapes]
    block = ops.PreparedBottleneck(convs)
    x = torch.randn(2, 128, *size).to(dtype).to(memory_format=torch.channels_last)
    hidden = torch.randn(2, 64, *size).to(dtype).to(memory_format=torch.channels_last)
    out = torch.randn(2, 128, *size).to(dtype).to(memory_format=torch.channels_last)
    policy = make_policy("random", 2, *size)
    h = reference(x, *convs[0], policy, hidden, (1, 0, 1, 1), "relu").to(dtype)
    full = torch.full_like(policy, 2)
    middle = reference(h, *convs[1], full, None, (1, 1, 1, 1), "relu")
    fresh = (reference(middle, *convs[2], full, None, (1, 0, 1, 1), None) + x.double()).relu()
    kind = policy[:, None]
    expected = torch.where(kind == 2, fresh, torch.where(kind == 1, out.double(), 0.0))
    sites = ops.Sites.from_policy(policy)
    plain_hidden, plain_out = hidden.clone(), out.clone()
    block(x, sites, hidden, out)
    tolerance = {torch.float32: 2e-5, torch.bfloat16: 6e-2, torch.float16: 6e-3}[dtype]
    torch.testing.assert_close(out.double(), expected, rtol=0, atol=tolerance)
    torch.testing.assert_close(hidden.double(), h.double(), rtol=0, atol=tolerance)
    block._plain(x, sites, plain_hidden, plain_out)
    torch.testing.assert_close(plain_out.double(), expected, rtol=0, atol=tolerance)


def test_prepared_convolution_and_folded_batch_norm():
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(32, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64).eval()
    norm.running_mean.normal_(), norm.running_var.uniform_(0.5, 2)
    prepared = ops.PreparedConv2d(*ops.fold_batch_norm(conv.weight, conv.bias, norm), padding=1, activation="relu")
    x = torch.randn(1, 32, 8, 9)
    policy = make_policy("random", 1, 8, 9)
    out = torch.randn(1, 64, 8, 9)
    expected = torch.where(
        policy[:, None] == 2, norm(conv(x)).relu(), torch.where(policy[:, None] == 1, out, 0.0)
    ).detach()
    for sites in (ops.Sites.from_policy(policy), policy):
        torch.testing.assert_close(prepared(x, sites, out.clone()), expected, rtol=0, atol=2e-5)
    before = out.clone()
    with pytest.raises(RuntimeError, match="got (a|the)"):
        prepared(x, torch.full_like(policy, 3), out)
    with pytest.raises(ValueError, match="sites: expected|x and out: expected"):
        prepared(x, policy[:, 1:], out)
    with torch.no_grad():  # where the kernel looks at its arguments first
        with pytest.raises(RuntimeError, match="got (a|the)"):
            prepared(x, torch.full_like(policy, 3), out)
        with pytest.raises(ValueError, match="sites: expected|x and out: expected"):
            prepared(x, policy[:, 1:], out)
        with pytest.raises(ValueError, match="x and out: expected 32 channels"):
            prepared(x[:, 1:], policy, out)
        with pytest.raises(ValueError, match="x and out: expected 32 channels"):
            prepared(x, policy, out[:, 1:])
        with pytest.raises(ValueError, match="x and out: expected torch.float32"):
            prepared(x, policy, out.double())
        with pytest.raises(ValueError, match="policy: expected"):
            prepared(x, policy.int(), out)
        apart = torch.stack((policy, policy), dim=-1)[..., 0]
        assert torch.equal(prepared(x, apart, out.clone()), prepared(x, policy, out.clone()))
    assert torch.equal(out, before)
    with pytest.raises(RuntimeError, match="has no gradient"):
        prepared(x.requires_grad_(), ops.Sites.from_policy(policy), out)


def prepared_reference(case, x, weight, bias, policy, prev, geometry, skipped, shortcut):
    """act(conv + shortcut) where computed, act(skipped + shortcut) where skipped, the previous output elsewhere."""
    made = nn.functional.conv2d(x.double(), weight.double(), None if bias is None else bias.double(), *geometry)
    kind, act = policy[:, None], torch.relu if case["activation"] else lambda t: t
    fresh = torch.where(kind == 2, made, skipped.double()[:, None, None].expand_as(made))
    fresh = act(fresh if shortcut is None else fresh + shortcut.double())
    return torch.where(kind == 1, prev.double(), fresh)


@settings(max_examples=60, deadline=None)
@given(cases(), st.booleans(), st.booleans(), st.booleans())
def test_prepared_convolutions_add_shortcuts_and_set_skipped_sites(case, has_skipped, has_shortcut, compiled):
    x, weight, bias, policy, prev, geometry = build(case)
    skipped = torch.randn(case["c_out"]).to(x.dtype) if has_skipped else torch.zeros(case["c_out"], dtype=x.dtype)
    shortcut = memory(torch.randn(prev.shape).to(x.dtype), case["memory"]) if has_shortcut else None
    expected = prepared_reference(case, x, weight, bias, policy, prev, geometry, skipped, shortcut)
    stride, padding, dilation, groups = geometry
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        if not compiled:
            patch.setattr(prepared_module, "has_extension", lambda: False)
        layer = ops.PreparedConv2d(weight, bias, stride=stride, padding=padding, dilation=dilation, groups=groups,
                                   activation=case["activation"], skipped=skipped if has_skipped else None)  # fmt: skip
        for sites in (policy, ops.Sites.from_policy(policy)):
            out = prev.clone(memory_format=torch.preserve_format)
            assert layer(x, sites, out, shortcut) is out
            close(out, expected, case["dtype"])


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("policy", ["random", "zero", "full"])
@pytest.mark.parametrize("channels", [(16, 70), (6, 64)])
def test_pointwise_convolutions_of_rows_equal_those_of_maps(compiled, dtype, policy, channels, monkeypatch):
    torch.manual_seed(0)
    if not compiled:
        monkeypatch.setattr(prepared_module, "has_extension", lambda: False)
    weight, bias = torch.randn(channels[1], channels[0], 1, 1) / 4, torch.randn(channels[1])
    layer = ops.PreparedConv2d(weight, bias, activation="relu", dtype=dtype, skipped=torch.randn(channels[1]))
    x = torch.randn(2, channels[0], 9, 7).to(dtype)
    sites = ops.Sites.from_policy(make_policy(policy, 2, 9, 7))
    rows = x.permute(0, 2, 3, 1).reshape(-1, channels[0])[sites.index.long()]
    for shortcut in (None, torch.randn(2, channels[1], 9, 7).to(dtype)):
        out = torch.randn(2, channels[1], 9, 7).to(dtype)
        with torch.no_grad():
            expected = layer(x, sites, out.clone(), shortcut)
            got = layer.from_rows(rows, sites, out.clone(), shortcut)
            close(got, expected, dtype)
            assert torch.equal(got, expected) or not compiled or not ops.has_extension()


def test_wrong_rows_and_shortcuts_are_named():
    x, out = torch.randn(1, 8, 5, 5), torch.zeros(1, 16, 5, 5)
    sites = ops.Sites.from_policy(make_policy("full", 1, 5, 5))
    wide, point = ops.PreparedConv2d(torch.randn(16, 8, 3, 3), None, padding=1), torch.randn(16, 8, 1, 1)
    with torch.no_grad():
        with pytest.raises(ValueError, match="shortcut: expected torch.float32 of shape"):
            wide(x, sites, out, out[:, :8])
        with pytest.raises(ValueError, match="shortcut: expected torch.float32 of shape"):
            wide(x, sites, out, out.double())
        with pytest.raises(ValueError, match="from_rows: expected a 1x1 convolution"):
            wide.from_rows(torch.randn(25, 8), sites, out)
        with pytest.raises(ValueError, match=r"rows: expected torch.float32 of shape \(25, 8\)"):
            ops.PreparedConv2d(point, None).from_rows(torch.randn(24, 8), sites, out)
        with pytest.raises(ValueError, match=r"skipped: expected .*C_out"):
            ops.PreparedConv2d(point, None, skipped=torch.randn(8))
    with pytest.raises(RuntimeError, match="has no gradient"):
        ops.PreparedConv2d(point, None).from_rows(torch.randn(25, 8, requires_grad=True), sites, out)


def test_a_layer_may_keep_only_its_winograd_form():
    if not ops.has_extension():
        pytest.skip("needs the compiled operators")
    torch.manual_seed(0)
    weight, bias = torch.randn(64, 16, 3, 3) / 12, torch.randn(64)
    prepared = ops.PreparedConv2d(weight, bias, padding=1)
    prepared.packed = prepared.packed.only_winograd()
    x, policy = torch.randn(1, 16, 9, 7), torch.full((1, 9, 7), 2, dtype=torch.uint8)
    out = torch.empty(1, 64, 9, 7).to(memory_format=torch.channels_last)
    with torch.no_grad():
        expected = F.conv2d(x, weight, bias, padding=1)
        torch.testing.assert_close(prepared(x, policy, out), expected, rtol=0, atol=2e-5)
        with pytest.raises(RuntimeError, match="only the Winograd form was kept"):
            prepared(x, policy, out.contiguous())
    with pytest.raises(ValueError, match="no Winograd form"):
        ops.PreparedConv2d(torch.randn(64, 16, 1, 1), bias).packed.only_winograd()


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
    with pytest.raises(RuntimeError, match="no gradient"):
        ops.triple_sparse_conv2d_(X, W.clone().requires_grad_(), None, P, torch.zeros(1, 8, 3, 3))
