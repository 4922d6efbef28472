"""Weights of the public CFBI."""

import pytest
import torch

from vosplug.cli.convert_checkpoint import main
from vosplug.converters import CFBIConverter
from vosplug.parity import Manifest
from vosplug.registry import SEGMENTORS
from vosplug.utils.checkpoint import load_weights
from vosplug.utils.configs import load_config
from vosplug.utils.errors import CheckpointError, ConfigError

ALIASES = {"seperate_conv": 0, "bn1": 1, "embedding_conv": 3, "bn2": 4}


@pytest.fixture(scope="module")
def source(shared):
    """A state dict of the source, with the weights of the golden files."""
    weights = Manifest.read(shared / "golden" / "cfbi_r101_2obj.json").weights()
    return {name: torch.from_numpy(value) for name, value in weights.items()}


def with_aliases(state):
    """The state dict as published checkpoints hold it."""
    twice = {f"semantic_embedding.{number}.{leaf}": state[f"{name}.{leaf}"] for name, number in ALIASES.items()
             for leaf in ("weight", "bias")}
    return {**state, **twice}


@pytest.mark.shared
@pytest.mark.parametrize("form", ["plain", "aliases", "module.", "state_dict"])
def test_every_weight_finds_its_place(source, tmp_path, capsys, form):
    state = with_aliases(source) if form != "plain" else source
    if form == "module.":
        state = {f"module.{name}": value for name, value in state.items()}
    torch.save({"state_dict": state} if form == "state_dict" else state, tmp_path / "cfbi.pth")
    assert main(["cfbi", str(tmp_path / "cfbi.pth"), str(tmp_path / "ours.pth")]) == 0
    text = capsys.readouterr().out
    assert "they fit cfbi_r101.py" in text and "unknown" not in text
    assert ("753 of 753 weights converted" in text) == (form == "plain")
    assert ("753 of 761 weights converted, 8 left out on purpose (second names of the same weights)" in text) == (
        form != "plain")


@pytest.mark.shared
def test_red_green_blue_and_the_order_of_the_source_are_the_same(source):
    cfg = load_config("cfbi_r101.py").model
    model = SEGMENTORS.build(cfg).double().eval()
    image = torch.randint(0, 256, (1, 3, 49, 65), dtype=torch.uint8)
    features = []
    for order in ("rgb", "bgr"):
        load_weights(model, CFBIConverter(input_order=order).convert(source).state)
        preprocessor = model.data_preprocessor
        if order == "bgr":
            preprocessor.mean, preprocessor.std = preprocessor.mean[::-1], preprocessor.std[::-1]
        frames = preprocessor.normalize(image if order == "rgb" else image.flip(1))
        with torch.no_grad():
            features.append(model.encoder(frames).embedding)
    assert features[0].abs().max() > 0.1 and (features[0] - features[1]).abs().max() < 1e-10


def test_wrong_checkpoints_are_named():
    converter = CFBIConverter()
    with pytest.raises(CheckpointError, match="none of the 1 weights belongs to this family"):
        converter.convert({"key_encoder.conv1.weight": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="these are weights of CFBI+, which there is no model for here".replace(
            "+", r"\+")):
        converter.convert({"dynamic_seghead.S1_IA1.IA.weight": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="these are weights of CFBI on a MobileNet-V2"):
        converter.convert({"feature_extracter.backbone.features.0.0.weight": torch.zeros(1)})
    twice = {"bn1.weight": torch.ones(4), "semantic_embedding.1.weight": torch.zeros(4)}
    with pytest.raises(CheckpointError, match=r"semantic_embedding.1.weight and bn1.weight are two names of one"):
        converter.convert(twice)
    with pytest.raises(CheckpointError, match=r"semantic_embedding.3.bias and embedding_conv.bias are two names"):
        converter.convert({"semantic_embedding.3.bias": torch.zeros(4)})
    with pytest.raises(ConfigError, match="input_order must be one of rgb, bgr, got 'brg'"):
        CFBIConverter(input_order="brg")


def test_cut_files_and_other_families_end_with_one_line(tmp_path, capsys):
    path = tmp_path / "cfbi.pth"
    torch.save({"dynamic_seghead.S1_IA1.IA.weight": torch.zeros(1)}, path)
    assert main(["cfbi", str(path), str(tmp_path / "out.pth")]) == 2
    path.write_bytes(path.read_bytes()[:-40])
    assert main(["cfbi", str(path), str(tmp_path / "out.pth")]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 2 and "CFBI+" in lines[0] and "damaged" in lines[1]
