"""What commands know of the families of models."""

import pytest

from tests.inference.colour_segmentor import ColourSegmentor
from vosplug.cli import benchmark, demo, model_stats, plot_memory, test
from vosplug.evaluation.families import FAMILIES, Family, family_of
from vosplug.evaluation.metrics import DavisMetric, YouTubeVISMetric
from vosplug.inference import VISInferencer, VISSession, VOSInferencer, VOSSession
from vosplug.inference.baselines import Baseline
from vosplug.registry import SEGMENTORS, VIS_SEGMENTORS
from vosplug.utils.configs import load_config
from vosplug.utils.errors import ConfigError, InputError


def test_models_configs_and_metrics_name_their_family():
    vos, vis = FAMILIES["vos"], FAMILIES["vis"]
    assert family_of(ColourSegmentor()) is family_of(Baseline("copy")) is family_of(DavisMetric) is vos
    assert family_of(load_config("stcn_small")) is vos
    assert family_of(load_config("efficientvis_small")) is family_of(YouTubeVISMetric) is vis
    assert {family_of(cls) for cls in SEGMENTORS.members().values()} == {vos}
    assert {family_of(cls) for cls in VIS_SEGMENTORS.members().values()} == {vis}
    with pytest.raises(InputError, match="'3d', which is not known: one of vos, vis"):
        family_of(type("Model", (), {"family": "3d"}))


def test_every_family_brings_its_parts():
    assert [(f.inferencer, type(f)) for f in FAMILIES.values()] == [
        (VOSInferencer, type(FAMILIES["vos"])), (VISInferencer, type(FAMILIES["vis"]))]
    for name, family in FAMILIES.items():
        assert isinstance(family, Family) and family.name == family.inferencer.family == name
        assert all("{method}" in reason or " " in reason for reason in family.unused.values())
    assert isinstance(FAMILIES["vos"].session(ColourSegmentor()), VOSSession)
    from tests.inference.fixed_tracks import FixedTracks

    assert isinstance(FAMILIES["vis"].session(FixedTracks(), clip_length=2), VISSession)


def test_options_without_a_use_are_options_of_a_command():
    known = {action.dest for command in (benchmark, demo, model_stats, plot_memory, test)
             for action in command.build_parser()._actions}
    assert known >= {option for family in FAMILIES.values() for option in (*family.unused, *family.needed)}


def test_a_family_takes_its_own_lengths():
    config = load_config("efficientvis_small")
    assert FAMILIES["vos"].length({"model": {"type": "STCN"}}) == 1
    assert FAMILIES["vis"].length(config) == config.model.clip_length
    assert FAMILIES["vis"].length({"model": {"type": "EfficientVIS"}}) == 36  # by default
    assert FAMILIES["vis"].length({**config, "test_session": {"clip_length": 3}}) == 3
    assert (FAMILIES["vis"].untimed(5, 3), FAMILIES["vos"].untimed(5, 1)) == (2, 6)


@pytest.mark.parametrize("name, preprocessor, message", [
    ("stcn_small", "VISPreprocessor", "STCN is a VOS method, but VISPreprocessor is for VIS methods"),
    ("efficientvis_small", "VOSPreprocessor", "EfficientVIS is a VIS method, but VOSPreprocessor is for VOS methods")])
def test_a_preprocessor_of_another_family_is_refused(name, preprocessor, message):
    model = load_config(name).model
    model.preprocessor = dict(type=preprocessor)
    kind = SEGMENTORS if name.startswith("stcn") else VIS_SEGMENTORS
    with pytest.raises(ConfigError, match=message):
        kind.build(model)
