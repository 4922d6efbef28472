"""The converter of TTVOS, and the command on files as they are published."""

import json

import pytest
import torch

from vosplug.cli.convert_checkpoint import main
from vosplug.converters import TTVOSConverter
from vosplug.registry import SEGMENTORS
from vosplug.utils.checkpoint import load_checkpoint_file
from vosplug.utils.configs import load_config

# Channels of the levels of stride 4, 8 and 16, and of the decoder.
CHANNELS = {"ttvos_r50": (256, 512, 1024, 128), "ttvos_r18": (64, 128, 512, 64)}


def conv(name, out_channels, in_channels, size):
    """Names and shapes of a convolution with a bias."""
    return {f"{name}.weight": (out_channels, in_channels, size, size), f"{name}.bias": (out_channels,)}


def own_shapes(config):
    """Names and shapes of the public code, without the backbone."""
    c4, c8, c16, c = CHANNELS[config]
    short = min(2 * c, c16)
    found = {}
    for branch in ("gcm.conv_key", "gcm.conv_val", "gcq.conv_val", "gcq.conv_feat"):
        found |= conv(f"{branch}.0", c8, c8 + 9, 1) | conv(f"{branch}.1", c8, 4, 5)
    found |= conv("gcq.blend.0", 2 * c8, 4, 5) | conv("gcq.blend.1", c8, 2 * c8, 1)
    for name, shape in {
            "conv_s16.conv": (short, c16 + 6, 3), "blend_s16.conv": (c, c16 + short, 3), "conv_s8.conv": (c, c8, 1),
            "blend_s8.conv": (c, c + 2, 3), "cal_UpW.0.conv": (c // 2 + 1, c + 2, 3), "cal_UpW.2": (1, c // 2 + 1, 1),
            "conv_s4.conv": (c, c4, 1), "blend_s4.conv": (c, c + 2, 3), "predictor_Diff": (2, c, 3),
            "predictor_Tmp": (1, c8, 3)}.items():
        found |= conv(f"refine.{name}", *shape)
    for name, (channels, out) in {"deconv1_1": (c, 2), "deconv1_2": (2, 2), "deconv2": (c, 2),
                                  "deconv3": (c + 4, 8)}.items():
        found |= {f"refine.{name}.weight": (channels, out, 4, 4), f"refine.{name}.bias": (out,)}
    return {f"vos.{name}": shape for name, shape in found.items()}


def backbone_shapes(config):
    """Names and shapes of the backbone, torchvision's."""
    with torch.device("meta"):
        backbone = SEGMENTORS.build(load_config(config).model).backbone
    return {name: tuple(value.shape) for name, value in backbone.state_dict().items()}


def zeros(shapes, prefix=""):
    """Weights of some shapes; counters are whole numbers."""
    return {f"{prefix}{name}": torch.zeros(shape, dtype=torch.long if name.endswith("tracked") else None)
            for name, shape in shapes.items()}


@pytest.mark.parametrize("config", CHANNELS)
def test_official_names_are_covered_both_ways(config):
    state = {**zeros(own_shapes(config)), **zeros(backbone_shapes(config), "vos.backbone.")}
    with torch.device("meta"):
        model = SEGMENTORS.build(load_config(config).model)
    converter = TTVOSConverter()
    result = converter.fit(converter.convert(state), model)
    assert not result.unknown and not result.dropped and not result.kept and len(result.sources) == len(state)
    assert {n: tuple(v.shape) for n, v in result.state.items()} == {
        n: tuple(v.shape) for n, v in model.state_dict().items()}


def test_roles_of_the_branches_follow_the_axes_of_the_template():
    result = TTVOSConverter().convert(zeros(own_shapes("ttvos_r18")))
    assert result.sources["matching_head.make_value.proj.weight"] == "vos.gcm.conv_key.0.weight"
    assert result.sources["matching_head.make_key.conv.weight"] == "vos.gcm.conv_val.1.weight"
    assert result.sources["matching_head.read_key.proj.weight"] == "vos.gcq.conv_val.0.weight"


class Meter:
    """Like the statistics that are pickled beside the published weights."""

    def __init__(self):
        self.history = [1.0]


def test_command_on_a_published_file(tmp_path, capsys):
    source, target = str(tmp_path / "RN18.pth.tar"), str(tmp_path / "out.pth")
    state = {**zeros(own_shapes("ttvos_r18")), **zeros(backbone_shapes("ttvos_r18"), "vos.backbone.")}
    torch.save({"epoch": 100, "net": state, "lr": [1e-4], "stats": {"train_vos loss": Meter()}}, source)
    assert main(["ttvos", source, target, "--config", "ttvos_r18"]) == 0
    assert f"{len(state)} of {len(state)} weights converted" in " ".join(capsys.readouterr().out.split())
    model = SEGMENTORS.build(load_config("ttvos_r18").model)
    assert set(load_checkpoint_file(target)["state_dict"]) == set(model.state_dict())
    assert main(["ttvos", source, target]) == 2  # the config of ResNet-50
    error = capsys.readouterr().err
    assert "does not fit TTVOS" in error and "of another shape" in error and error.count("\n") == 1
    assert main(["frtm", source, target, "--backbone", source]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_command_takes_the_backbone_from_a_file_of_its_own(tmp_path, capsys):
    own, backbone, target = (str(tmp_path / name) for name in ("own.pth", "resnet50.pth", "out.pth"))
    torch.save({"net": zeros(own_shapes("ttvos_r50"))}, own)
    pictures = {n: v for n, v in zeros(backbone_shapes("ttvos_r50")).items() if not n.endswith("tracked")}
    torch.save({**pictures, "layer4.0.conv1.weight": torch.zeros(512, 1024, 1, 1), "fc.weight": torch.zeros(9, 2048),
                "fc.bias": torch.zeros(9)}, backbone)
    assert main(["ttvos", own, target]) == 2
    error = capsys.readouterr().err
    assert "holds no backbone: give the weights" in error and error.count("\n") == 1
    assert main(["ttvos", own, target, "--backbone", backbone]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"from {own}" in said and f"from {backbone}" in said and "3 left out on purpose" in said
    assert "the classifier of the backbone; the last stage of the backbone, which the model lacks" in said
    torch.save({"net": {**zeros(own_shapes("ttvos_r50")), "vos.backbone.conv1.weight": torch.zeros(64, 3, 7, 7)}}, own)
    assert main(["ttvos", own, target, "--backbone", backbone]) == 2
    assert "--backbone has no effect" in capsys.readouterr().err


@pytest.mark.shared
def test_another_family_is_refused(shared, tmp_path, capsys):
    spec = json.loads((shared / "golden" / "frtm_fast_2obj.json").read_text())
    torch.save({"model": zeros({n: tuple(s) for n, s in spec["state_dict"].items()})}, tmp_path / "frtm.pth")
    assert main(["ttvos", str(tmp_path / "frtm.pth"), str(tmp_path / "out.pth")]) == 2
    error = capsys.readouterr().err
    assert "error: " in error and error.count("\n") == 1
