"""Convolutions that are packed ahead of time, against their reference, with and without the extension."""

import copy
import pickle
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
import vosplug.ops as ops
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from vosplug.ops.sparse_conv import prepared as prepared_module

from tests.ops.sparse_conv_cases import build, cases, close, make_policy, memory, reference


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


@pytest.fixture
def made():
    if not ops.has_extension():
        pytest.skip("needs the compiled operators")
    torch.manual_seed(0)
    layer = ops.PreparedConv2d(torch.randn(64, 16, 3, 3) / 12, torch.randn(64), padding=1, activation="relu")
    policy, last = torch.randint(0, 3, (2, 9, 7), dtype=torch.uint8), {"memory_format": torch.channels_last}
    return layer, torch.randn(2, 16, 9, 7).to(**last), policy, torch.randn(2, 64, 9, 7).to(**last)


def called(layer, x, sites, out):
    with torch.no_grad():
        return layer(x, sites, out.clone(memory_format=torch.preserve_format))


class Operators(TorchDispatchMode):
    """Names of the operators that pass."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen.append(func.name())
        return func(*args, **(kwargs or {}))


class Functions(TorchFunctionMode):
    """The same of the functions of torch."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


def test_who_watches_sees_the_operator(made):
    expected = called(*made)
    for mode in (Operators(), Functions()):
        with mode:
            again = called(*made)
        assert any("sparse_conv2d" in name for name in mode.seen) and torch.equal(again, expected)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        called(*made)
    assert any("sparse_conv2d" in event.name for event in profile.events())


def test_compiling_and_tracing_see_the_operator(made):
    layer, x, policy, out = made
    expected = called(*made)
    with torch.no_grad():
        run = torch.compile(lambda *a: layer(a[0], a[1], a[2].clone()), fullgraph=True, backend="aot_eager")
        assert torch.equal(run(x, policy, out), expected)
        traced = torch.fx.experimental.proxy_tensor.make_fx(lambda *a: layer(*a))(x, policy, out.clone())
        assert "sparse_conv2d" in traced.code


def test_copies_pickles_and_other_packed_weights(made):
    layer, x, policy, out = made
    expected = called(*made)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(called(other, x, policy, out), expected)
    for packed in (replace(layer.packed, winograd=None), None):
        layer.packed = packed
        torch.testing.assert_close(called(layer, x, policy, out), expected, rtol=0, atol=1e-5)


def test_strided_maps_of_one_channel_and_inputs_that_need_gradients():
    layer = ops.PreparedConv2d(torch.full((1, 1, 1, 1), 3.0), None)
    x, out = torch.randn(1, 8, 6, 1).permute(0, 3, 1, 2)[:, :, ::2], torch.zeros(1, 1, 4, 6)
    policy = torch.full((1, 4, 6), 2, dtype=torch.uint8)
    assert torch.equal(called(layer, x.clone().requires_grad_(), policy, out), 3 * x)
    with torch.inference_mode():
        assert torch.equal(layer(x.clone(), policy, out.clone()), 3 * x)


def test_lists_of_another_type_are_refused(made):
    layer, x, policy, out = made
    sites = ops.Sites.from_policy(policy)
    with pytest.raises(RuntimeError, match="sites: expected int32"):
        called(layer, x, replace(sites, index=sites.index.long()), out)
    short = replace(sites)
    short.__dict__["tiles"] = (sites.tiles[0], sites.tiles[1][1:])
    with pytest.raises(RuntimeError, match="tiles, bits: expected int32 and uint8 of one length"):
        called(layer, x, short, out)
