"""Norms from short configs."""

import pytest
import torch
from torch import nn

from vosplug.models.layers.build import FrozenBN, build_norm
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
