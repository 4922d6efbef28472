"""TemplateAttention: the template by hand, places, rows."""

import math

import pytest
import torch

from vosplug.models.matching_heads import TemplateAttention
from vosplug.models.matching_heads.template_attention import places_of
from vosplug.utils.errors import ConfigError


def head(**options):
    torch.manual_seed(0)
    return TemplateAttention(feature_channels=8, mask_channels=6, **options).double().eval()


def test_places_are_row_column_and_radius():
    places = places_of((3, 5), torch.zeros((), dtype=torch.float64))
    assert places[0, :, 0].tolist() == [-1, 0, 1] and places[1, 0].tolist() == [-1, -0.5, 0, 0.5, 1]
    assert float(places[2, 1, 2]) == 0 and float(places[2, 0, 1]) == pytest.approx(math.hypot(1, 0.5))


@torch.no_grad()
def test_a_template_correlates_values_with_keys_over_all_cells():
    module, feature, masks = head(), torch.randn(2, 8, 4, 6).double(), torch.rand(2, 6, 4, 6).double()
    inputs = torch.cat([feature, places_of((4, 6), feature).expand(2, 3, 4, 6), masks], dim=1)
    key, value = module.make_key(inputs), module.make_value(inputs)
    template = module.template(feature, masks)
    assert template.shape == (2, 8, 8)
    raw = torch.tensor([[float((value[1, v] * key[1, k]).sum()) / math.sqrt(24) for k in range(8)] for v in range(8)])
    assert torch.allclose(template[1], raw.double().softmax(dim=1), atol=1e-6)
    other = module(feature.flip(-1), masks, template)
    assert other.shape == (2, module.out_channels, 4, 6) and (other >= 0).all()
    alone = module(feature[1:].flip(-1), masks[1:], template[1:])
    assert torch.allclose(alone[0], other[1], atol=1e-12)
    assert not torch.allclose(other, module(feature.flip(-1), masks, template.roll(1, 1)), atol=1e-6)


def test_channels_are_those_of_the_feature_or_given_ones():
    assert head().out_channels == 8 and head(channels=4).out_channels == 4
    with pytest.raises(ConfigError, match="TemplateAttention: channels of keys and templates must be multiples of 4"):
        head(channels=6)
