"""Converters of FRTM and of the reuse gate, and the command on files as they are published."""

import json
import os

import pytest
import torch

from vosplug.cli.convert_checkpoint import main
from vosplug.converters import FRTMConverter, ReuseVOSConverter
from vosplug.registry import SEGMENTORS
from vosplug.utils.checkpoint import load_checkpoint_file
from vosplug.utils.configs import load_config
from vosplug.utils.errors import CheckpointError

PREFIX = "feature_extractor."


def source(shared, name):
    """Weights by the source's names, all zero, of the shapes of a manifest."""
    spec = json.loads((shared / "golden" / f"{name}.json").read_text())
    return {key: torch.zeros(shape) for key, shape in spec["state_dict"].items()}


def files(folder, state):
    """A checkpoint as it is published, without backbone and target models, and a file of the backbone."""
    own = {key: value for key, value in state.items() if not key.startswith((PREFIX, "discriminator."))}
    backbone = {key.removeprefix(PREFIX): value for key, value in state.items() if key.startswith(PREFIX)
                and not key.endswith("num_batches_tracked")}
    torch.save({"model": own, "epoch": 260}, folder / "own.pth")
    torch.save({**backbone, "fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}, folder / "resnet18.pth")
    return str(folder / "own.pth"), str(folder / "resnet18.pth")


@pytest.mark.shared
@pytest.mark.parametrize("converter, manifest, config, dropped", [
    (FRTMConverter, "frtm_fast_2obj", "frtm_fast_r18", 4),
    (ReuseVOSConverter, "reuse_fast_2obj", "g_frtm_fast_r18", 4)])
def test_official_names_are_covered_both_ways(shared, converter, manifest, config, dropped):
    result = converter().convert(source(shared, manifest))
    assert not result.unknown and len(result.dropped) == dropped
    with torch.device("meta"):
        model = SEGMENTORS.build(load_config(config).model)
    assert {n: tuple(v.shape) for n, v in result.state.items()} == {
        n: tuple(v.shape) for n, v in model.state_dict().items()}


@pytest.mark.shared
@pytest.mark.parametrize("family, manifest, config", [("frtm", "frtm_fast_2obj", "frtm_fast_r18"),
                                                      ("reuse_vos", "reuse_fast_2obj", "g_frtm_fast_r18")])
def test_command_asks_for_the_backbone(shared, tmp_path, capsys, family, manifest, config):
    own, backbone = files(tmp_path, source(shared, manifest))
    target = str(tmp_path / "out.pth")
    assert main([family, own, target, "--config", config]) == 2
    assert "holds no backbone: give the weights" in capsys.readouterr().err
    assert main([family, own, target, "--config", config, "--backbone", backbone]) == 0
    said = capsys.readouterr().out
    assert f"from {own}" in said and f"from {backbone}" in said and "2 left out on purpose" in said
    written = load_checkpoint_file(target)["state_dict"]
    assert set(written) == set(SEGMENTORS.build(load_config(config).model).state_dict())
    assert main([family, own, target, "--backbone", backbone]) == 2  # the config of ResNet-101
    error = capsys.readouterr().err
    assert "of another shape" in error and error.count("\n") == 1


@pytest.mark.shared
@pytest.mark.parametrize("family, manifest, config, message", [
    ("frtm", "reuse_fast_2obj", "frtm_fast_r18", "is not a frtm checkpoint"),
    ("reuse_vos", "frtm_fast_2obj", "g_frtm_fast_r18", "missing (matching.")])
def test_another_family_is_refused(shared, tmp_path, capsys, family, manifest, config, message):
    own, backbone = files(tmp_path, source(shared, manifest))
    assert main([family, own, str(tmp_path / "out.pth"), "--backbone", backbone, "--config", config]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


@pytest.mark.shared
@pytest.mark.parametrize("family, manifest, config", [("frtm", "frtm_fast_2obj", "frtm_fast_r18"),
                                                      ("reuse_vos", "reuse_fast_2obj", "g_frtm_fast_r18")])
def test_pickled_objects_stay_inert(shared, tmp_path, capsys, family, manifest, config):
    class Statistics:
        def __reduce__(self):
            return open, (str(tmp_path / "executed"), "w")
    own, backbone = files(tmp_path, source(shared, manifest))
    target, weights = str(tmp_path / "out.pth"), load_checkpoint_file(own)["model"]
    torch.save({"model": weights, "stats": Statistics()}, own)
    assert main([family, own, target, "--backbone", backbone, "--config", config]) == 0
    assert set(load_checkpoint_file(target)) == {"state_dict", "meta"}
    assert not (tmp_path / "executed").exists()
    torch.save({"model": {**weights, "refiner.x": Statistics()}}, own)
    assert main([family, own, target, "--backbone", backbone, "--config", config]) == 2
    assert "its entry 'refiner.x' is a Stranger, a tensor was expected" in capsys.readouterr().err
    assert not (tmp_path / "executed").exists()


@pytest.mark.shared
def test_what_cannot_be_read_inertly_is_refused_and_not_executed(shared, tmp_path, capsys):
    """Functions of the system, and files of the old format."""
    class Statistics:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)
    own, backbone = files(tmp_path, source(shared, "frtm_fast_2obj"))
    weights = load_checkpoint_file(own)["model"]
    for zipped in (True, False):
        torch.save({"model": weights, "stats": Statistics()}, own, _use_new_zipfile_serialization=zipped)
        assert main(["frtm", own, str(tmp_path / "out.pth"), "--backbone", backbone]) == 2
        error = capsys.readouterr().err
        assert "save it again with plain tensors only, where you trust it: torch.save({'state_dict'" in error
        assert error.count("\n") == 1 and not (tmp_path / "executed").exists()


def test_backbone_is_refused_where_there_is_one():
    with pytest.raises(CheckpointError, match="--backbone has no effect"):
        FRTMConverter().with_backbone({f"{PREFIX}conv1.weight": torch.zeros(1)}, {"conv1.weight": torch.zeros(1)})
