"""Plain convolutions on packed weights, in prepared inference alone."""

import copy

import pytest
import torch
from torch import nn
from vosplug.ops import has_extension

from vosplug.models.backbones.sparse_convs.dense import DenseConv, prepared_inference, use_packed_kernels
from vosplug.models.backbones.sparse_convs.surgery import sparsify
from vosplug.models.layers.build import FrozenBN, conv_norm_relu
from vosplug.registry import SEGMENTORS

needs_kernels = pytest.mark.skipif(not has_extension(), reason="the compiled operators are not there")


def seeded(norm: nn.Module) -> nn.Module:
    for value in (norm.running_mean, norm.weight.data, norm.bias.data):
        value.normal_()
    norm.running_var.uniform_(0.5, 2)
    return norm.eval()


NORMS = {"frozen": lambda: seeded(FrozenBN(64)), "batch": lambda: seeded(nn.BatchNorm2d(64)),
         "group": lambda: nn.GroupNorm(4, 64), "none": nn.Identity}


def prepared(**options) -> DenseConv:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(32, 64, **options)).eval()
    use_packed_kernels(model)
    return model[0]


@needs_kernels
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("adds", [True, False])
@pytest.mark.parametrize("options", [dict(kernel_size=3, padding=1), dict(kernel_size=1, bias=False)])
def test_packed_layers_equal_what_is_written(norm, relu, adds, options):
    layer, norm = prepared(**options), NORMS[norm]()
    x, shortcut = torch.randn(2, 32, 9, 14), torch.randn(2, 64, 9, 14) if adds else None
    expected = norm(layer(x)) + (shortcut if adds else 0)
    expected = expected.relu() if relu else expected
    given = None if shortcut is None else shortcut.clone()
    with torch.no_grad(), prepared_inference():
        out = conv_norm_relu(layer, norm, x, relu, shortcut)
    assert layer._packed.conv is not None
    assert torch.allclose(out, expected, atol=1e-4)
    assert shortcut is None or torch.equal(shortcut, given)


@needs_kernels
@pytest.mark.parametrize("options, packs", [
    (dict(kernel_size=3, padding=1), True), (dict(kernel_size=1), True), (dict(kernel_size=3, stride=2), False),
    (dict(kernel_size=1, stride=2), False), (dict(kernel_size=3, padding=2, dilation=2), False),
    (dict(kernel_size=3, padding=1, groups=4), False), (dict(kernel_size=5, padding=2), False),
    (dict(kernel_size=3, padding=1, padding_mode="reflect"), False)])
def test_layers_for_which_the_kernels_are_faster_are_packed(options, packs):
    model = nn.Sequential(nn.Conv2d(32, 64, **options)).eval()
    before, x = model(torch.ones(1, 32, 8, 8)), torch.ones(1, 32, 8, 8)
    use_packed_kernels(model)
    with torch.no_grad(), prepared_inference():
        assert torch.allclose(model(x), before, atol=1e-4)
    held = getattr(model[0], "_packed", None)
    assert (held is not None and held.conv is not None) is packs


def test_elsewhere_a_prepared_layer_is_the_plain_one():
    torch.manual_seed(0)
    plain = nn.Conv2d(32, 64, 3, padding=1).eval()
    layer = copy.deepcopy(plain)
    use_packed_kernels(nn.Sequential(layer))
    x = torch.randn(1, 32, 8, 8)
    with torch.no_grad():
        assert torch.equal(layer(x), plain(x))
        with prepared_inference(False):
            assert torch.equal(layer(x), plain(x))
    with prepared_inference():
        assert layer(x).requires_grad and torch.equal(layer(x), plain(x))  # gradients are wanted
        with torch.no_grad():
            assert torch.equal(layer.double()(x.double()), plain.double()(x.double()))
    assert layer._packed.conv is None
    assert list(layer.state_dict()) == ["weight", "bias"] and isinstance(layer, nn.Conv2d)


@needs_kernels
def test_packed_weights_follow_the_weights_and_are_not_copied():
    layer, x = prepared(kernel_size=3, padding=1), torch.randn(1, 32, 8, 8)
    with torch.no_grad(), prepared_inference():
        before = layer(x)
        layer.weight.mul_(2)
        layer.bias.mul_(2)
        assert torch.allclose(layer(x), 2 * before, atol=1e-4)
        assert copy.deepcopy(layer)._packed.conv is None
    assert layer.train()._packed.conv is None


@needs_kernels
def test_somebody_who_watches_a_layer_still_sees_it():
    layer, norm, seen = prepared(kernel_size=3, padding=1), NORMS["frozen"](), []
    layer.register_forward_hook(lambda module, inputs, output: seen.append("conv"))
    norm.register_forward_hook(lambda module, inputs, output: seen.append("norm"))
    with torch.no_grad(), prepared_inference():
        conv_norm_relu(layer, norm, torch.randn(1, 32, 8, 8))
    assert seen == ["conv", "norm"]


def test_a_model_that_had_a_session_can_still_become_sparse():
    model = SEGMENTORS.build(SEGMENTORS.example("STCN"))
    names = sparsify(copy.deepcopy(model), dict(type="TripleSparseConv"), "QD")
    use_packed_kernels(model)
    assert sparsify(model, dict(type="TripleSparseConv"), "QD") == names


@needs_kernels
@pytest.mark.parametrize("options", [dict(kernel_size=3, padding=1), dict(kernel_size=1)])
def test_bfloat16_goes_the_same_way(options):
    layer, norm, x = prepared(**options), NORMS["frozen"](), torch.randn(1, 32, 9, 14)
    expected = norm(layer(x)).relu()
    with torch.no_grad(), prepared_inference(), torch.autocast("cpu", torch.bfloat16):
        out = conv_norm_relu(layer, norm, x)
    assert out.dtype == torch.bfloat16 and layer._packed.conv is not None
    assert (out.float() - expected).abs().max() < 0.03 * expected.abs().max()
