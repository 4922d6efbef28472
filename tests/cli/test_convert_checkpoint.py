"""The command convert_checkpoint."""

import json

import pytest
import torch

from vosplug.cli.convert_checkpoint import main
from vosplug.registry import CONVERTERS, SEGMENTORS
from vosplug.utils.checkpoint import load_checkpoint_file, load_weights, save_checkpoint_file


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """A converter whose model is narrow, and a source checkpoint for it."""
    from tests.contracts.helpers import build_model
    from vosplug.converters import Converter

    class TinyConverter(Converter):
        rules = ((r"theirs\.(.*)", r"\1"),)
        model_config = str(tmp_path / "tiny.py")

    config = SEGMENTORS.example("STCN")
    model = build_model(config, seed=4)
    (tmp_path / "tiny.py").write_text(f"model = {config!r}\n")
    monkeypatch.setitem(CONVERTERS.module_dict, "tiny", TinyConverter)
    source = {f"theirs.{name}": value for name, value in model.state_dict().items()}
    save_checkpoint_file(source, tmp_path / "source.pth")
    return model, source


def failure(capsys, *argv):
    assert main(list(map(str, argv))) == 2
    line = capsys.readouterr().err.strip()
    assert line.startswith("error: ") and "\n" not in line
    return line


def test_converted_weights_load_strictly(tiny, tmp_path, capsys):
    model, _ = tiny
    assert main(["tiny", str(tmp_path / "source.pth"), str(tmp_path / "out/ours.pth")]) == 0
    assert f"{len(model.state_dict())} of {len(model.state_dict())} weights converted" in capsys.readouterr().out
    checkpoint = load_checkpoint_file(tmp_path / "out/ours.pth")
    assert checkpoint["meta"] == {"family": "tiny", "config": str(tmp_path / "tiny.py")}
    expected = {name: value.clone() for name, value in model.state_dict().items()}
    for parameter in model.parameters():
        parameter.data.zero_()
    load_weights(model, checkpoint)
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())


def test_unknown_weights_are_named_and_nothing_is_written(tiny, tmp_path, capsys):
    _, source = tiny
    save_checkpoint_file({**source, "extra.w": torch.ones(1)}, tmp_path / "source.pth")
    line = failure(capsys, "tiny", tmp_path / "source.pth", tmp_path / "ours.pth")
    assert "is not a tiny checkpoint" in line and "1 unknown: extra.w" in line
    assert not (tmp_path / "ours.pth").exists()


def test_missing_weights_are_named(tiny, tmp_path, capsys):
    _, source = tiny
    source.pop("theirs.decoder.pred.bias")
    save_checkpoint_file(source, tmp_path / "source.pth")
    line = failure(capsys, "tiny", tmp_path / "source.pth", tmp_path / "ours.pth")
    assert "1 missing (decoder.pred.bias)" in line and not (tmp_path / "ours.pth").exists()


def test_wrong_model(tiny, tmp_path, capsys):
    line = failure(capsys, "tiny", tmp_path / "source.pth", tmp_path / "ours.pth", "--config", "stcn_small.py")
    assert "does not fit STCN" in line and not (tmp_path / "ours.pth").exists()


@pytest.mark.parametrize("family, expected", [("stnc", "Did you mean 'stcn'"), ("weights.pth", "stcn, ttvos, xmem"),
                                              ("", "stcn, ttvos, xmem")])
def test_unknown_family(tmp_path, capsys, family, expected):
    assert expected in failure(capsys, family, tmp_path / "a.pth", tmp_path / "b.pth")


def test_foreign_and_missing_files(tmp_path, capsys):
    assert "not found" in failure(capsys, "stcn", tmp_path / "a.pth", tmp_path / "b.pth")
    torch.save({"backbone.w": torch.ones(2)}, tmp_path / "a.pth")
    assert "none of the 1 weights" in failure(capsys, "stcn", tmp_path / "a.pth", tmp_path / "b.pth")


@pytest.mark.shared
def test_official_names_become_our_model(shared, tmp_path, capsys):
    spec = json.loads((shared / "golden" / "stcn_1obj_top20.json").read_text())
    state = {name: torch.zeros(shape).half() for name, shape in spec["state_dict"].items()}
    save_checkpoint_file(state, tmp_path / "stcn.pth")
    assert main(["stcn", str(tmp_path / "stcn.pth"), str(tmp_path / "ours.pth")]) == 0
    assert "405 of 405 weights converted; they fit stcn_r50.py" in " ".join(capsys.readouterr().out.split())
