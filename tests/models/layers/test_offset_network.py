"""Offsets from queries: grids, starting at zero, bounds, gradients."""

import pytest
import torch
import torch.nn.functional as F

from vosplug.models.layers import OffsetNetwork
from vosplug.models.layers.offset_network import grid_over
from vosplug.utils.errors import ConfigError, InputError


def moving(seed=0, **options):
    """A network whose last convolution is not zero."""
    torch.manual_seed(seed)
    network = OffsetNetwork(8, **options).double()
    torch.nn.init.normal_(network.point.weight)
    return network


@pytest.mark.parametrize("size, counts", [((31, 54), (1674, 432, 198, 112)), ((30, 30), (900, 225, 100, 64))])
def test_keys_of_a_frame(size, counts):
    """480x854 is seen at 481x849, 31x54 cells; 465x465 is 30x30."""
    query = torch.randn(1, 128, *size)
    for g, count in enumerate(counts, start=1):
        offsets = OffsetNetwork(128, grid_factor=g)(query)
        assert offsets.shape[:3] == (1, 4, 2) and offsets[0, 0, 0].numel() == count
        assert tuple(offsets.shape[3:]) == grid_over(size, g)


@pytest.mark.parametrize("options", [dict(), dict(norm="LN", kernel=3, grid_factor=3), dict(max_offset=2.0, groups=1)])
def test_points_start_in_their_places(options):
    network = OffsetNetwork(8, **options)
    assert not network(torch.randn(2, 8, 5, 7)).any()
    assert "point.bias" not in network.state_dict() and network.starts_anew


def test_groups_share_the_weights_and_see_their_own_channels():
    network, query = moving(groups=4), torch.randn(2, 8, 5, 7, dtype=torch.float64)
    offsets, own = network(query), query.clone()
    own[:, 2:4] += 1
    changed = (network(own) != offsets).flatten(2).any(dim=2)
    assert changed.tolist() == [[False, True, False, False]] * 2
    swapped = network(torch.cat([query[:, 4:], query[:, :4]], dim=1))
    assert torch.equal(swapped, torch.cat([offsets[:, 2:], offsets[:, :2]], dim=1))


def test_it_is_two_convolutions():
    network, x = moving(groups=1, norm="LN"), torch.randn(1, 8, 6, 7, dtype=torch.float64)
    spread = F.conv2d(x, network.spread.weight, network.spread.bias, stride=2, padding=2, groups=8)
    active = F.gelu(F.layer_norm(spread.permute(0, 2, 3, 1), (8,)))
    assert torch.allclose(network(x)[:, 0], (active @ network.point.weight[:, :, 0, 0].T).permute(0, 3, 1, 2))


@pytest.mark.parametrize("bound", [0.0, 0.5, 3.0])
def test_the_bound_is_kept(bound):
    offsets = moving(max_offset=bound)(100 * torch.randn(1, 8, 9, 9, dtype=torch.float64))
    assert offsets.abs().max() <= bound
    assert not bound or offsets.abs().max() > 0.9 * bound


def test_gradients_agree_with_differences():
    network = moving(norm="LN", max_offset=1.0)
    assert torch.autograd.gradcheck(network, [torch.randn(1, 8, 4, 5, dtype=torch.float64, requires_grad=True)])


def test_offsets_are_float32_under_autocast():
    network, query = moving().float(), torch.randn(1, 8, 5, 7)
    with torch.autocast("cpu", torch.bfloat16):
        offsets = network(query)
    assert offsets.dtype == torch.float32 and torch.equal(offsets, network(query))
    assert network.bfloat16()(query).dtype == torch.float32


@pytest.mark.parametrize("options, says", [
    (dict(groups=3), "OffsetNetwork.groups must divide the 8 channels of the query, got 3; up to 64 there are 1, 2, 4"),
    (dict(groups=0), "groups must be a whole number of at least 1, got 0"),
    (dict(grid_factor=1.5), "grid_factor must be a whole number of at least 1, got 1.5"),
    (dict(kernel=4), "kernel must be an odd whole number, got 4"),
    (dict(norm="BN"), "norm must be 'LN' or None, got 'BN'"),
    (dict(max_offset=-1), "max_offset must be a number of cells of at least 0 or None, got -1")])
def test_bad_options(options, says):
    with pytest.raises(ConfigError, match=says):
        OffsetNetwork(8, **options)


def test_a_grid_is_not_larger_than_the_map():
    with pytest.raises(InputError, match="grid_factor 6 is larger than the map of 5x70 cells: choose at most 5"):
        grid_over((5, 70), 6)
    assert grid_over((5, 70), 5) == (1, 14)
