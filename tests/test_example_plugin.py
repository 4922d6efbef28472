"""The plugin of the documentation: it computes what it says, and trains and tests without a change of vosplug."""

import json
import math

import pytest
import torch

from vosplug.cli import make_synthetic, test, train
from vosplug.registry import MATCHING_HEADS, load_plugin

TINY = ["train_cfg.max_iters=2", "train_dataloader.dataset.size=(48,48)", "train_dataloader.batch_size=1",
        "train_dataloader.num_workers=0", "clip.length=2", "curriculum=[]", "optim_wrapper.amp=None",
        "model.key_encoder.backbone.widths=(8,16,16)", "model.value_encoder.backbone.widths=(8,16,16)",
        "model.key_encoder.fusion.channels=16", "model.value_encoder.fusion.channels=16",
        "model.value_encoder.fuser.channels=16", "model.decoder.compress_channels=16",
        "model.decoder.up_channels=(16,)"]


@pytest.fixture
def plugin(root, registries):
    """Path of the plugin."""
    return str(root / "docs" / "examples" / "cosine_matching.py")


def test_it_is_short(plugin):
    with open(plugin) as file:
        assert len(file.readlines()) < 40


def test_similarity_is_a_scaled_cosine(plugin):
    load_plugin(plugin)
    head = MATCHING_HEADS.build(dict(type="CosineMatching")).double()
    (scale,) = (p for p in head.parameters())
    query, memory = torch.randn(1, 4, 3).double(), torch.randn(1, 4, 5).double()
    scores = head.similarity(query, memory)
    cosine = [[sum(float(query[0, c, i] * memory[0, c, j]) for c in range(4))
               / math.sqrt(float(query[0, :, i].square().sum() * memory[0, :, j].square().sum())) for j in range(5)]
              for i in range(3)]
    factor = scores[0] / torch.tensor(cosine, dtype=torch.float64)
    assert torch.allclose(factor, factor[0, 0].expand(3, 5)) and factor[0, 0].item() > 1
    scores.sum().backward()
    assert scale.grad is not None and scale.grad.abs().sum() > 0


def test_it_is_trained_and_tested_by_the_commands(plugin, tmp_path, capsys):
    assert make_synthetic.main([str(tmp_path / "data"), "--videos", "1", "--val", "1", "--size", "48", "64",
                                "--frames", "3", "--options", "textures=8"]) == 0
    options = ["--cfg-options", "model.matching_head.type=CosineMatching", *TINY]
    work = tmp_path / "work"
    status = train.main(["stcn_small", "--plugin", plugin, "--work-dir", str(work), "--device", "cpu", *options])
    assert status == 0, capsys.readouterr().err
    state = torch.load(work / "final.pth", weights_only=True)["state_dict"]
    assert [name for name in state if name.startswith("matching_head.") and "prior" not in name]
    status = test.main(["stcn_small", str(work / "final.pth"), "--plugin", plugin, "--device", "cpu", "--data-root",
                        str(tmp_path / "data" / "davis"), "--json", str(tmp_path / "scores.json"), *options])
    assert status == 0, capsys.readouterr().err
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert 0 <= scores["J&F-Mean"] <= 1
    capsys.readouterr()
    assert test.main(["stcn_small", str(work / "final.pth"), "--plugin", plugin, "--device", "cpu", "--data-root",
                      str(tmp_path / "data" / "davis"), "--cfg-options", *TINY]) == 2
    assert "matching_head" in capsys.readouterr().err  # weights of the plugin do not fit the built-in head
