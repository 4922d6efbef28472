"""What the places of a gated propagation read at moved points."""

import pytest
import torch
from vosplug.ops import reference_points

from vosplug.models.layers import GatedDeformableAttention
from vosplug.models.layers.propagation import ShortTermAttention
from vosplug.utils.errors import ConfigError, InputError

SIZE, CK, C = (5, 6), 8, 16
GRID = (3, 3)


def layer(seed=0, moving=True, **options):
    torch.manual_seed(seed)
    made = GatedDeformableAttention(CK, C, **options).double()
    for network in made.networks.values():
        if moving:
            torch.nn.init.normal_(network.point.weight, std=0.5)
    return made


def tokens(channels, seed=0):
    return torch.randn(2, 30, channels, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def project(x):
    """Keys and values that show where the inputs came from."""
    return x[..., :CK] * 2, x.repeat(1, 1, 2) + 1


def by_hand(x, offsets, streams):
    """Eq. 3 and 4 with all weights of all cells: tokens (R, L, C), group by group and stream by stream."""
    points = reference_points(SIZE, GRID, dtype=torch.float64).permute(2, 0, 1)
    cells = torch.stack(torch.meshgrid(*(torch.arange(side) for side in SIZE), indexing="ij")).flatten(1)
    at = (points + offsets).flatten(3)  # (R, S, 2, 9)
    weights = (1 - (at[..., None] - cells[:, None]).abs()).clamp(min=0).prod(dim=2)  # (R, S, 9, 30)
    split = x.unflatten(-1, (streams, offsets.shape[1], -1))
    return torch.einsum("rsnl,rltsc->rntsc", weights, split).flatten(2)


def test_features_are_sampled_and_then_projected():
    made, query, x = layer(), tokens(CK), tokens(2 * C, 1)
    (key,), (value,), grid = made("long_term", query, [(x,)], SIZE, project)
    offsets = made.offsets("long_term", query, SIZE)
    expected = project(by_hand(x, offsets, streams=2))
    assert grid == GRID and offsets.abs().max() > 0.1
    assert torch.allclose(key, expected[0]) and torch.allclose(value, expected[1])


def test_keys_and_values_may_be_sampled_as_they_are():
    made, query, key, value = layer(resample="keys_values"), tokens(CK), tokens(CK, 1), tokens(4 * C, 2)
    (keys,), (values,), grid = made("short_term", query, [(key, value)], SIZE, None)
    offsets = made.offsets("short_term", query, SIZE)
    assert grid == GRID
    assert torch.allclose(keys, by_hand(key, offsets, 1)) and torch.allclose(values, by_hand(value, offsets, 2))


def test_all_frames_are_sampled_at_the_same_points():
    made, query, x, y = layer(), tokens(CK), tokens(2 * C, 1), tokens(2 * C, 2)
    (key,), (value,), _ = made("long_term", query, [(x,), (y,)], SIZE, project)
    for number, frame in enumerate((x, y)):
        (own,), (of_it,), _ = made("long_term", query, [(frame,)], SIZE, project)
        part = slice(9 * number, 9 * number + 9)
        assert torch.equal(key[:, part], own) and torch.equal(value[:, part], of_it)


def test_places_move_their_points_each_in_its_own_way():
    made, query = layer(), tokens(CK)
    found = [made.offsets(place, query, SIZE) for place in made.places]
    assert list(made.networks) == ["long_term", "short_term", "self"]
    assert not torch.equal(found[0], found[1]) and not torch.equal(found[1], found[2])


def test_other_places_read_keys_and_values_as_they_are():
    made, key, value = layer(places=("self",)), tokens(CK, 1), tokens(4 * C, 2)
    keys, values, grid = made("long_term", tokens(CK), [(tokens(3 * C), key, value), (key, value)], SIZE, None)
    assert grid == SIZE and all(x is key for x in keys) and all(x is value for x in values)
    assert list(made.networks) == ["self"]


@pytest.mark.parametrize("options", [dict(offsets=False), dict(max_offset=0)])
def test_points_that_stay(options):
    made, query, x = layer(**options), tokens(CK), tokens(2 * C, 1)
    (key,), _, _ = made("long_term", query, [(x,)], SIZE, project)
    plain = by_hand(x, torch.zeros(2, 4, 2, *GRID, dtype=torch.float64), 2)
    assert torch.allclose(key, project(plain)[0])
    assert bool(list(made.parameters())) == ("max_offset" in options)


def test_points_off_the_map_read_zeros():
    made, query, x = layer(groups=1), tokens(CK), tokens(2 * C, 1)
    far = torch.full((2, 1, 2, *GRID), 50.0, dtype=torch.float64)
    assert not made.sample(x, far, SIZE, 2).any() and made.sample(x, far * 0, SIZE, 2).any()
    assert torch.isfinite(made("self", 1e6 * query, [(x,)], SIZE, project)[0][0]).all()


def test_gradients_of_sampling_and_window_agree_with_differences():
    made, window = layer(grid_factor=2), ShortTermAttention(CK, 1, 1).double()

    def read(query, x):
        (key,), (value,), grid = made("short_term", query, [(x,)], SIZE, project)
        return window(query, key, value, SIZE, grid)

    query, x = tokens(CK)[:1].requires_grad_(), tokens(2 * C, 1)[:1].requires_grad_()
    assert torch.autograd.gradcheck(read, [query, x], atol=1e-5)


def test_a_window_of_points_is_that_of_cells_where_they_are_the_same():
    """A grid of factor one goes the way of cells; the way of points gives the same."""
    torch.manual_seed(0)
    window, query, key, value = ShortTermAttention(CK, 1, 2).double(), tokens(CK), tokens(CK, 1), tokens(C, 2)
    logits = window.offset_logits(query.transpose(1, 2).unflatten(2, SIZE)).flatten(2).transpose(1, 2)
    points = window.look_at_points(query, key, value, logits, SIZE, SIZE)
    assert torch.allclose(points, window(query, key, value, SIZE), atol=1e-12)


def test_without_a_window_all_points_are_seen():
    window, query, key, value = ShortTermAttention(CK, 1, None).double(), tokens(CK), tokens(CK, 1), tokens(C, 2)
    expected = (query @ key[:, :9].transpose(1, 2) / CK**0.5).softmax(-1) @ value[:, :9]
    assert torch.allclose(window(query, key[:, :9], value[:, :9], SIZE, GRID), expected)
    assert not list(window.parameters())


def test_vectors_by_offset_are_not_for_points():
    window = ShortTermAttention(CK, 1, 1, value_channels=C).double()
    with pytest.raises(NotImplementedError, match="vectors by offset"):
        window(tokens(CK), tokens(CK)[:, :9], tokens(C)[:, :9], SIZE, GRID)


@pytest.mark.parametrize("options, says", [
    (dict(places=("longterm",)), "no place 'longterm'. Did you mean 'long_term'"),
    (dict(places="self"), "places must be a list of long_term, short_term, self, got 'self'"),
    (dict(places=()), "places must be a list"),
    (dict(resample="values"), "resample must be 'features' or 'keys_values', got 'values'"),
    (dict(groups=3), "GatedDeformableAttention.groups must divide the 8 channels of the query, got 3")])
def test_bad_options(options, says):
    with pytest.raises(ConfigError, match=says):
        GatedDeformableAttention(CK, C, **options)


def test_a_grid_larger_than_the_map_is_refused_with_and_without_offsets():
    for options in (dict(), dict(offsets=False)):
        with pytest.raises(InputError, match="grid_factor 9 is larger than the map of 5x6 cells"):
            layer(grid_factor=9, **options)("self", tokens(CK), [(tokens(2 * C),)], SIZE, project)
