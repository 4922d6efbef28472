"""Norms from short configs."""

import pytest
import torch
from torch import nn

from vosplug.models.layers.build import FrozenBN, build_norm, conv_norm, conv_norm_relu
from vosplug.utils.errors import ConfigError


def test_frozen_batch_norm_is_batch_norm_in_evaluation_without_anything_to_train():
    torch.manual_seed(0)
    plain = nn.BatchNorm2d(3).double()
    for tensor in (plain.weight.data, plain.bias.data, plain.running_mean):
        tensor.normal_()
    plain.running_var.uniform_(0.5, 2)
    frozen = build_norm(dict(type="FrozenBN"), 3).double().train()
    assert isinstance(frozen, FrozenBN) and frozen.eps == 1e-5 and not list(frozen.parameters())
    assert list(frozen.state_dict()) == ["weight", "bias", "running_mean", "running_var"]
    frozen.load_state_dict({name: plain.state_dict()[name] for name in frozen.state_dict()})
    before = {name: value.clone() for name, value in frozen.state_dict().items()}
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    out = frozen(x)
    assert torch.allclose(out, plain.eval()(x))
    assert all(torch.equal(value, before[name]) for name, value in frozen.state_dict().items())
    scale = frozen.weight / (frozen.running_var + 1e-5).sqrt()
    out.sum().backward()
    assert torch.allclose(x.grad, scale[None, :, None, None].expand_as(x))


def test_options_of_frozen_batch_norm():
    assert build_norm(dict(type="FrozenBN", eps=1e-3), 3).eps == 1e-3
    with pytest.raises(ConfigError, match="FrozenBN has no option 'affine'"):
        build_norm(dict(type="FrozenBN", affine=False), 3)
    with pytest.raises(ConfigError, match="Did you mean 'FrozenBN'"):
        build_norm(dict(type="FrozenBn"), 3)


@pytest.mark.parametrize("options, channels, groups", [
    (dict(), 48, 3), (dict(channels_per_group=4), 64, 16), (dict(channels_per_group=16), 24, 1),
    (dict(groups=32), 256, 32), (dict(groups=32), 100, 25), (dict(groups=32), 12, 12)])
def test_groups_of_a_group_norm(options, channels, groups):
    assert build_norm(dict(type="GN", **options), channels).num_groups == groups


def test_groups_are_given_in_one_way():
    with pytest.raises(ConfigError, match="groups or channels_per_group, not both"):
        build_norm(dict(type="GN", groups=4, channels_per_group=4), 16)


def random_norm(norm):
    for name in ("weight", "bias", "running_mean"):
        if getattr(norm, name) is not None:
            nn.init.normal_(getattr(norm, name))
    nn.init.uniform_(norm.running_var, 0.5, 2)
    return norm


@pytest.mark.parametrize("options", [dict(bias=False), dict(padding=2, dilation=2), dict(groups=2, stride=2)])
@pytest.mark.parametrize("make", [lambda: FrozenBN(6), lambda: nn.BatchNorm2d(6).eval(),
                                  lambda: nn.BatchNorm2d(6, affine=False).eval()])
def test_a_fixed_norm_is_folded_without_gradients(make, options, monkeypatch):
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(4, 6, 3, **options).eval(), random_norm(make())
    x = torch.randn(2, 4, 9, 8)
    expected = norm(conv(x)).detach()
    called = []
    monkeypatch.setattr(type(norm), "forward", lambda self, x: called.append(1))
    with torch.no_grad():
        assert torch.allclose(conv_norm(conv, norm, x), expected, atol=1e-5)
        assert torch.allclose(conv_norm_relu(conv, norm, x, shortcut=expected), (2 * expected).relu(), atol=1e-5)
    assert not called
    conv_norm(conv, norm, x)
    assert called == [1]
    with torch.no_grad():
        conv_norm(conv.double(), norm.double(), x.double())  # comparisons with other implementations
        conv_norm(conv.float().train(), norm.float(), x)
    assert called == [1, 1, 1]


def test_what_cannot_be_folded_runs_as_it_is():
    torch.manual_seed(0)
    x, conv, seen = torch.randn(2, 4, 9, 8), nn.Conv2d(4, 6, 3), []
    live = nn.BatchNorm2d(6)
    reflecting = nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect")
    with torch.no_grad():
        assert torch.allclose(conv_norm(conv, live, x).mean(dim=(0, 2, 3)), torch.zeros(6), atol=1e-5)
        assert live.num_batches_tracked == 1
        fixed = FrozenBN(6)
        assert torch.equal(conv_norm(reflecting, fixed, x), fixed(reflecting(x)))
        conv.register_forward_hook(lambda *_: seen.append("conv"))
        conv_norm(conv, fixed, x)
    assert seen == ["conv"]


def test_what_a_caller_gave_is_not_written_to():
    x, shortcut, conv = torch.randn(1, 4, 5, 5), torch.randn(1, 6, 5, 5), nn.Conv2d(4, 6, 3, padding=1)
    before = x.clone(), shortcut.clone()
    with torch.no_grad():
        conv_norm_relu(conv, FrozenBN(6), x, shortcut=shortcut)
    assert torch.equal(x, before[0]) and torch.equal(shortcut, before[1])
