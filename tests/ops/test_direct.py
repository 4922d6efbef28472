"""Prepared layers called without torch's dispatcher: when, when not, and with the same results."""

import copy
import pickle
from dataclasses import replace

import pytest
import torch
import vosplug.ops as ops
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from vosplug.ops.direct import direct_calls

pytestmark = pytest.mark.skipif(direct_calls() is None, reason="needs the compiled operators and DLPack's exchange")


def last(x):
    return x.contiguous(memory_format=torch.channels_last)


@pytest.fixture
def made():
    torch.manual_seed(0)
    layer = ops.PreparedConv2d(torch.randn(32, 16, 3, 3) / 12, torch.randn(32), padding=1, activation="relu")
    policy = torch.randint(0, 3, (2, 9, 7), dtype=torch.uint8)
    return layer, last(torch.randn(2, 16, 9, 7)), policy, last(torch.randn(2, 32, 9, 7))


@pytest.fixture
def block():
    torch.manual_seed(0)
    shapes = [(16, 64, 1, 1), (16, 16, 3, 3), (64, 16, 1, 1)]
    made = ops.PreparedBottleneck([(torch.randn(s) / 8, torch.randn(s[0])) for s in shapes])
    sites = ops.Sites.from_policy(torch.randint(0, 3, (1, 8, 6), dtype=torch.uint8))
    return made, last(torch.randn(1, 64, 8, 6)), sites, last(torch.randn(1, 16, 8, 6)), last(torch.randn(1, 64, 8, 6))


def through_the_dispatcher(layer, x, sites, out, shortcut=None):
    return layer._carefully(x, sites, out.clone(memory_format=torch.preserve_format), shortcut)


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("with_shortcut", [False, True])
@pytest.mark.parametrize("skipped", [False, True])
def test_a_plain_call_skips_the_dispatcher_and_gives_the_same(dtype, with_shortcut, skipped, monkeypatch):
    torch.manual_seed(0)
    layer = ops.PreparedConv2d(torch.randn(32, 16, 3, 3) / 12, torch.randn(32), padding=1, activation="relu",
                               dtype=dtype, skipped=torch.randn(32) if skipped else None)  # fmt: skip
    policy = torch.randint(0, 3, (2, 9, 7), dtype=torch.uint8)
    x, out = last(torch.randn(2, 16, 9, 7).to(dtype)), last(torch.randn(2, 32, 9, 7).to(dtype))
    shortcut = last(torch.randn_like(out)) if with_shortcut else None
    with torch.no_grad():
        expected = through_the_dispatcher(layer, x, policy, out, shortcut)
        monkeypatch.delattr(ops.PreparedConv2d, "_carefully")  # the long way
        for sites in (policy, ops.Sites.from_policy(policy)):
            again = out.clone(memory_format=torch.preserve_format)
            assert layer(x, sites, again, shortcut) is again
            assert torch.equal(again, expected)


def test_strided_maps_of_one_channel_and_parameters_that_need_gradients(monkeypatch):
    layer = ops.PreparedConv2d(torch.randn(1, 1, 1, 1), None)
    x, out = torch.randn(1, 8, 6, 1).permute(0, 3, 1, 2)[:, :, ::2], torch.zeros(1, 1, 4, 6)
    policy = torch.full((1, 4, 6), 2, dtype=torch.uint8)
    with torch.no_grad():
        expected = through_the_dispatcher(layer, x, policy, out)
        monkeypatch.delattr(ops.PreparedConv2d, "_carefully")
        assert torch.equal(layer(x.clone().requires_grad_(), policy, out.clone()), expected)
    with torch.inference_mode():
        assert torch.equal(layer(x.clone(), policy, out.clone()), expected)


def test_who_watches_sees_the_operator(made):
    layer, x, policy, out = made
    with torch.no_grad():
        expected = through_the_dispatcher(layer, x, policy, out)
        for mode in (Operators(), Functions()):
            again = out.clone(memory_format=torch.preserve_format)
            with mode:
                layer(x, policy, again)
            assert any("sparse_conv2d" in name for name in mode.seen) and torch.equal(again, expected)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            layer(x, policy, out)
        assert any("sparse_conv2d" in event.name for event in profile.events())


def test_compiling_and_tracing_see_the_operator(made):
    layer, x, policy, out = made
    with torch.no_grad():
        expected = through_the_dispatcher(layer, x, policy, out)
        run = torch.compile(lambda *a: layer(a[0], a[1], a[2].clone()), fullgraph=True, backend="aot_eager")
        assert torch.equal(run(x, policy, out), expected)
        traced = torch.fx.experimental.proxy_tensor.make_fx(lambda *a: layer(*a))(x, policy, out.clone())
        assert "sparse_conv2d" in traced.code


def test_gradients_and_subclasses_take_the_long_way(made, monkeypatch):
    layer, x, policy, out = made
    seen = []
    monkeypatch.setattr(ops.PreparedConv2d, "_carefully", lambda self, *a: seen.append(a))
    layer(x, policy, out)
    assert len(seen) == 1  # gradients are on
    with torch.no_grad():
        layer(x.as_subclass(type("Mine", (torch.Tensor,), {})), policy, out)
        layer(x.to("meta"), policy, out)
        layer(x.bfloat16(), policy, out.bfloat16())  # packed for float32
    assert len(seen) == 4


def test_copies_pickles_and_other_packed_weights(made):
    layer, x, policy, out = made
    with torch.no_grad():
        expected = through_the_dispatcher(layer, x, policy, out)
        for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            assert other._layer is not None
            assert torch.equal(other(x, policy, out.clone(memory_format=torch.preserve_format)), expected)
        layer.packed = replace(layer.packed, winograd=None)
        got = layer(x, policy, out.clone(memory_format=torch.preserve_format))
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)
        layer.packed = None
        assert layer._layer is None
        torch.testing.assert_close(layer(x, policy, out), expected, rtol=0, atol=1e-5)


def test_the_layer_keeps_its_tensors(made):
    layer, x, policy, out = made
    with torch.no_grad():
        expected = through_the_dispatcher(layer, x, policy, out)
        layer._packed = layer._plan = layer._skipped = None
        again = [torch.randn(50_000) for _ in range(20)]  # what could take the freed memory
        assert torch.equal(layer(x, policy, out), expected) and len(again) == 20


def test_the_bottleneck_is_called_directly(block, monkeypatch):
    made, x, sites, hidden, out = block
    with torch.no_grad():
        expected_hidden, expected = hidden.clone(), out.clone()
        with Operators() as operators:
            made(x, sites, expected_hidden, expected)
        assert "vosplug_cpu::sparse_bottleneck" in operators.seen
        monkeypatch.setattr("vosplug.ops.sparse_conv.prepared._refuse_gradients", None)  # the long way
        assert made(x, sites, hidden, out) is out
        assert torch.equal(out, expected) and torch.equal(hidden, expected_hidden)


def test_wrong_arguments_of_the_bottleneck_are_named(block):
    made, x, sites, hidden, out = block
    before = hidden.clone(), out.clone()
    with torch.no_grad():
        with pytest.raises(ValueError, match="x, hidden, out: expected torch.float32"):
            made(x, sites, hidden, out.double())
        with pytest.raises(ValueError, match="x, hidden, out: expected channels 64, 16, 64"):
            made(x, sites, hidden[:, :8], out)
        with pytest.raises(ValueError, match="sites: expected shape"):
            made(x, ops.Sites.from_policy(sites.policy[:, 1:]), hidden, out)
    assert torch.equal(hidden, before[0]) and torch.equal(out, before[1])


def test_a_torch_without_the_interface_takes_the_dispatcher(made, monkeypatch):
    layer, x, policy, out = made
    with monkeypatch.context() as patch:
        patch.delattr(torch.Tensor, "__dlpack_c_exchange_api__")
        assert direct_calls.__wrapped__() is None
    with torch.no_grad():
        expected = layer(x, policy, out.clone(memory_format=torch.preserve_format))
        monkeypatch.setattr("vosplug.ops.sparse_conv.prepared._direct", None)
        layer.packed = layer.packed
        assert layer._layer is None
        assert torch.equal(layer(x, policy, out), expected)


def test_the_interface_says_what_it_expects(made):
    layer, x, policy, out = made
    call = direct_calls()
    with pytest.raises(TypeError, match="update: expected 8 arguments, got 1"):
        call.update(layer._layer)
    with pytest.raises(TypeError, match="bottleneck: expected 10 arguments, got 2"):
        call.bottleneck(layer._layer, x)
    with pytest.raises(ValueError, match="PyCapsule"):
        call.update(None, x, out, None, policy, None, None, None)
    assert call.layer(x, x, x, x, x, "no plan", True) is None
    sites = ops.Sites.from_policy(policy)
    with torch.no_grad():
        with pytest.raises(RuntimeError, match="sites: expected int32"):
            call.update(layer._layer, x, out, None, policy, sites.index.long(), *sites.tiles)
        with pytest.raises(RuntimeError, match="tiles, bits: expected int32 and uint8 of one length"):
            call.update(layer._layer, x, out, None, policy, sites.index, sites.tiles[0], sites.tiles[1][1:])
