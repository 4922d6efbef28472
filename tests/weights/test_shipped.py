"""The weights that come with vosplug: small, as the card says, loaded as data only, and the default."""

import json

import numpy as np
import pytest
import torch

from tests.inference.colour_segmentor import moving_squares
from vosplug.cli.demo import main as demo
from vosplug.inference import OverlayVideoWriter, VideoReader, VISInferencer, VOSInferencer, build_segmentor
from vosplug.inference.readers import Frame
from vosplug.utils.errors import CheckpointError, InputError
from vosplug.utils.masks import read_mask, write_mask
from vosplug.weights import VOS, ShippedModel
from vosplug.weights.packing import digest, halved, pack

CLIP = list(moving_squares(frames=5, size=(96, 128), noise=12))


def test_the_file_is_small_and_as_the_card_says():
    assert VOS.path.stat().st_size < 8 * 2**20
    assert digest(VOS.path) == VOS.sha256
    card = VOS.card.read_text()
    assert VOS.sha256 in card
    for part in ("Apache-2.0", "## Data", "## Scores", "## What it cannot do", "--seed"):
        assert part in card


def test_it_is_data_only_in_half_precision():
    content = torch.load(VOS.path, weights_only=True)
    assert content["meta"]["config"] == VOS.config
    types = {value.dtype for value in content["state_dict"].values() if value.ndim > 1}
    assert types == {torch.float16}
    assert all(torch.isfinite(value).all() for value in content["state_dict"].values())


def test_the_model_is_small_and_needs_no_weights_of_its_backbone(monkeypatch, tmp_path):
    from vosplug.models.backbones import pretrained

    def refuse(*_):
        raise AssertionError("weights of a backbone were looked for")

    monkeypatch.setattr(pretrained, "in_environment", refuse)
    model = VOSInferencer(device="cpu").model
    assert sum(p.numel() for p in model.parameters()) <= 4_000_000
    assert all(p.dtype == torch.float32 for p in model.parameters())


def test_it_is_the_default_of_the_demo(tmp_path, capsys):
    with OverlayVideoWriter(tmp_path / "clip.mp4", fps=8) as writer:
        for t, (image, _) in enumerate(CLIP):
            writer.write(Frame(t, f"{t:05d}", image), np.zeros(image.shape[:2], np.uint8))
    write_mask(tmp_path / "first.png", CLIP[0][1])
    outputs = [tmp_path / "o.mp4", tmp_path / "o", tmp_path / "o.json"]
    arguments = [str(tmp_path / "clip.mp4"), "--mask", str(tmp_path / "first.png"), "--device", "cpu"]
    assert demo([*arguments, *(word for out in outputs for word in ("--out", str(out)))]) == 0
    assert len(list(VideoReader(outputs[0]))) == 5 and len(json.loads(outputs[2].read_text())["frames"]) == 5
    assert "5 frames of 128 x 96, 2 objects" in capsys.readouterr().out
    last = read_mask(outputs[1] / "00004.png")
    for value in (1, 2):
        found, true = last == value, CLIP[4][1] == value
        assert (found & true).sum() / (found | true).sum() > 0.5


def test_a_model_that_is_named_needs_both(tmp_path):
    with pytest.raises(InputError, match="a checkpoint without its config"):
        VOSInferencer(checkpoint="x.pth")
    with pytest.raises(InputError, match="no such model comes with vosplug"):
        VISInferencer()
    with pytest.raises(CheckpointError, match="has no weights none.pth of its own"):
        _ = ShippedModel("stcn_lite", "none.pth", "").path


def test_the_config_is_small_and_builds_without_the_weights_of_its_backbone(monkeypatch):
    """Where a checkpoint follows they are not looked for, so that no package and no network is needed."""
    from vosplug.models.backbones import base

    monkeypatch.setattr(base, "find_weights", None)
    for name in ("stcn_lite", "stcn_lite_davis", "stcn_lite_demo"):
        model = build_segmentor(name, pretrained=False)
        assert sum(p.numel() for p in model.parameters()) <= 4_000_000
        assert model.data_preprocessor.mean == (127 / 255,) * 3


def test_without_the_file_one_line_says_what_to_do(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("vosplug.weights.FOLDER", tmp_path)
    assert demo([str(tmp_path / "clip.mp4"), "--mask", "first.png", "--out", str(tmp_path / "o.mp4")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "name a config and a checkpoint" in error
    assert not VOS.is_here


def test_packing_keeps_vectors_and_halves_the_rest(tmp_path):
    state = {"weight": torch.randn(3, 4), "var": torch.tensor([1e-12, 1e9]), "count": torch.tensor(3)}
    torch.save({"state_dict": state}, tmp_path / "final.pth")
    text = pack(tmp_path / "final.pth", tmp_path / "packed.pth", config="some")
    assert text == digest(tmp_path / "packed.pth")
    content = torch.load(tmp_path / "packed.pth", weights_only=True)
    assert content["meta"] == {"config": "some"}
    assert content["state_dict"]["weight"].dtype == torch.float16
    assert torch.equal(content["state_dict"]["var"], state["var"]) and content["state_dict"]["count"] == 3
    assert halved(state)["weight"].shape == (3, 4)


def test_a_correction_helps_where_it_drifts(tmp_path):
    """A square that takes the place and the colour of another one: a mask at frame 4 makes later frames better."""
    frames, labels = swapped()
    plain, corrected = VOSInferencer(device="cpu"), None
    without = [result for _, result in plain.stream(frames, labels[0])]
    corrected = [result for _, result in plain.stream(frames, {0: labels[0], 4: labels[4]}, known_ids="correct")]
    np.testing.assert_array_equal(corrected[4], labels[4])
    for t in range(5, len(frames)):
        assert iou(corrected[t], labels[t]) >= iou(without[t], labels[t])
    assert iou(without[-1], labels[-1]) < 0.9  # it drifts indeed


def swapped(count=8, size=(96, 128)):
    """Frames and labels of an object that changes its look at frame 3, to that of what it stands beside."""
    rng = np.random.default_rng(0)
    background = rng.integers(60, 120, (*size, 3)).astype(np.uint8)
    frames, labels = [], []
    for t in range(count):
        image, mask = background.copy(), np.zeros(size, np.uint8)
        left = 20 + 3 * t
        image[30:60, left : left + 30] = (210, 40, 40) if t < 3 else (90, 95, 100)
        mask[30:60, left : left + 30] = 1
        frames.append(image)
        labels.append(mask)
    return frames, labels


def iou(found, true):
    return ((found == 1) & (true == 1)).sum() / max(1, ((found == 1) | (true == 1)).sum())
