"""Converters of published checkpoints."""

import json

import pytest
import torch

from vosplug.converters import Converter, STCNConverter, XMemConverter
from vosplug.registry import CONVERTERS, SEGMENTORS, VIS_SEGMENTORS
from vosplug.utils.configs import load_config
from vosplug.utils.errors import CheckpointError


class Toy(Converter):
    """Two rules that overlap, and something that is left out."""

    rules = ((r"a\.(.*)", r"first.\1"), (r"(?:a|b)\.(.*)", r"second.\1"), (r"c\.(.*)", r"first.\1"))
    drop = ((r"a\.head\..*", "a head that we do not have"),)


def test_first_rule_that_matches_the_whole_name_wins():
    state = {"a.x": torch.ones(1), "b.x": torch.zeros(1), "xa.x": torch.ones(1), "a.head.w": torch.ones(1)}
    result = Toy().convert(state)
    assert result.sources == {"first.x": "a.x", "second.x": "b.x"} and result.state["first.x"] is state["a.x"]
    assert result.unknown == ["xa.x"] and result.dropped == {"a.head.w": "a head that we do not have"}
    assert result.coverage() == ("2 of 4 weights converted, 1 left out on purpose (a head that we do not have), "
                                 "1 unknown: xa.x")


def test_two_weights_may_not_get_one_name():
    with pytest.raises(CheckpointError, match="both 'c.x' and 'a.x' would become 'first.x'"):
        Toy().convert({"a.x": torch.ones(1), "c.x": torch.ones(1)})


@pytest.mark.parametrize("name", ["stcn", "xmem"])
def test_foreign_weights_are_refused(name):
    with pytest.raises(CheckpointError, match="none of the 2 weights belongs to this family; first names: x, y"):
        CONVERTERS.get(name)().convert({"x": torch.ones(1), "y": torch.ones(1)})


def test_every_converter_names_a_model():
    for name in CONVERTERS.names():
        converter = CONVERTERS.get(name)
        assert load_config(converter.model_config).model.type in {**SEGMENTORS.members(), **VIS_SEGMENTORS.members()}


@pytest.fixture(scope="module")
def own_shapes():
    """Names and shapes of the full-size model, without its memory."""
    with torch.device("meta"):
        model = SEGMENTORS.build(load_config("stcn_r50.py").model)
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def source_state(shared):
    spec = json.loads((shared / "golden" / "stcn_2obj_top20.json").read_text())
    return {name: torch.empty(shape, device="meta") for name, shape in spec["state_dict"].items()}


@pytest.mark.shared
def test_official_stcn_is_covered_both_ways(shared, own_shapes):
    result = STCNConverter().convert(source_state(shared))
    assert not result.unknown and not result.dropped and len(result.state) == 405
    assert {name: tuple(value.shape) for name, value in result.state.items()} == own_shapes
    assert result.coverage() == "405 of 405 weights converted"


@pytest.mark.shared
def test_official_xmem_is_covered_both_ways(shared):
    spec = json.loads((shared / "golden" / "xmem_2obj.json").read_text())
    result = XMemConverter().convert({n: torch.empty(s, device="meta") for n, s in spec["state_dict"].items()})
    assert not result.unknown and not result.dropped and len(result.state) == 412
    with torch.device("meta"):
        model = SEGMENTORS.build(load_config("xmem_r50.py").model)
    assert {n: tuple(v.shape) for n, v in result.state.items()} == {
        n: tuple(v.shape) for n, v in model.state_dict().items()}


@pytest.mark.shared
def test_names_can_be_traced_back(shared):
    source = source_state(shared)
    result = STCNConverter().convert(source)
    assert sorted(result.sources.values()) == sorted(source)
    assert all(result.state[ours] is source[theirs] for ours, theirs in result.sources.items())
    assert result.sources["key_encoder.backbone.layer1.0.conv3.weight"] == "key_encoder.res2.0.conv3.weight"
    assert result.sources["decoder.ups.1.skip_conv.bias"] == "decoder.up_8_4.skip_conv.bias"


def test_stem_of_the_pre_training_treats_a_single_object_the_same():
    stem = torch.randn(2, 4, 7, 7)
    source = {"value_encoder.conv1.weight": stem, "key_comp.weight": torch.ones(1)}
    converted = STCNConverter().convert(source).state["value_encoder.backbone.conv1.weight"]
    assert source["value_encoder.conv1.weight"] is stem  # the source is not changed
    x = torch.randn(1, 5, 8, 8)
    ours = torch.nn.functional.conv2d(x, converted)
    assert torch.allclose(ours, torch.nn.functional.conv2d(x[:, :4], stem), atol=1e-5)


def test_stem_of_the_main_training_is_kept():
    stem = torch.randn(2, 5, 7, 7)
    state = STCNConverter().convert({"value_encoder.conv1.weight": stem}).state
    assert state["value_encoder.backbone.conv1.weight"] is stem
