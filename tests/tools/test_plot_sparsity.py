"""Plots and sums of what sparse convolutions computed."""

import json

import pytest
import torch
from PIL import Image

from tests.commands import command_module
from tests.contracts.helpers import CONFIGS, TINY_R50, sparse
from tests.inference.colour_segmentor import moving_squares
from vosplug.evaluation.complexity import measure_frames
from vosplug.inference.model_loading import build_segmentor
from vosplug.structures import Work
from vosplug.utils.configs import load_config
from vosplug.utils.images import read_image, write_image
from vosplug.utils.masks import write_mask

plot_sparsity = command_module("plot_sparsity")
SMALL = ["--size", "48", "64", "--objects", "1"]


@pytest.fixture
def config(tmp_path):
    cfg = load_config(CONFIGS / "_base_/stcn_r50_model.py")
    cfg.merge_from_dict({**TINY_R50, **sparse("TripleSparseConv", "Mixed")})
    (tmp_path / "tiny.py").write_text(f"model = {cfg.model.to_dict()!r}\n")
    return str(tmp_path / "tiny.py")


def test_pictures_and_numbers(config, tmp_path, capsys):
    out = tmp_path / "out"
    assert plot_sparsity.main([config, *SMALL, "--frames", "7", "--map-every", "2", "--max-maps", "2", "--density",
                               "0.25", "--out", str(out)]) == 0
    result = json.loads((out / "sparsity.json").read_text())
    assert result["frames"] == 7 and result["objects"] == 1 and result["density"] == 0.25
    assert result["sparsity"]["density"] == pytest.approx(0.25, abs=0.06)
    layer = result["sparsity"]["layers"]["key_encoder.backbone.layer1.0.conv1"]
    assert (layer["sparse_frames"], layer["dense_frames"]) == (5, 2)  # frames 0 and 5 are memory frames
    for name in ("layers.png", "maps.png"):
        assert read_image(out / name).std() > 1
    text = capsys.readouterr().out
    assert "saved" in text and "density 0.2" in text


def test_means_are_those_of_the_kinds_of_frames(config, tmp_path):
    """Five frames: the first one starts the object, the others lie between memory frames."""
    out = tmp_path / "out"
    assert plot_sparsity.main([config, *SMALL, "--frames", "5", "--out", str(out)]) == 0
    modules = json.loads((out / "sparsity.json").read_text())["modules"]
    dense = load_config(config).model
    dense.sparse = None
    macs = measure_frames(build_segmentor({"model": dense}), size=(48, 64)).macs
    for name in ("key_encoder", "decoder", "value_encoder"):
        mean = (macs["first"].get(name, 0) + 4 * macs["query"].get(name, 0)) / 5
        assert modules[name]["dense_macs_g"] == pytest.approx(mean / 1e9)
    assert modules["value_encoder"]["saved"] == 0
    assert modules["decoder"]["saved"] == pytest.approx(
        1 - modules["decoder"]["macs_g"] / modules["decoder"]["dense_macs_g"])


def test_a_video_of_files(config, tmp_path):
    for t, (image, labels) in enumerate(moving_squares(frames=3)):
        write_image(tmp_path / "v" / f"{t}.png", image)
        if not t:
            write_mask(tmp_path / "m.png", labels)
    video, mask, results = str(tmp_path / "v"), str(tmp_path / "m.png"), []
    for times in (1, 2):
        assert plot_sparsity.main([config, "--out", str(tmp_path / "o"), "--video", *times * [video],
                                   "--mask", *times * [mask]]) == 0
        results.append(json.loads((tmp_path / "o" / "sparsity.json").read_text()))
    one, two = results
    assert (one["frames"], two["frames"]) == (3, 6) and one["modules"] == two["modules"]


def test_a_foreground_mask(config, tmp_path):
    for t, (image, labels) in enumerate(moving_squares(frames=3)):
        write_image(tmp_path / "v" / f"{t}.png", image)
        if not t:
            Image.fromarray(((labels > 0) * 255).astype("uint8")).save(tmp_path / "m.png")
    source = ["--video", str(tmp_path / "v"), "--mask", str(tmp_path / "m.png"), "--binary-mask"]
    assert plot_sparsity.main([config, "--out", str(tmp_path / "o"), *source]) == 0
    result = json.loads((tmp_path / "o" / "sparsity.json").read_text())
    assert (result["frames"], result["objects"]) == (3, 1)


@pytest.mark.parametrize("arguments, message", [
    (["--video", "x"], "go together"), (["--binary-mask"], "has no effect"), (["--density", "3"], "0..1"),
    (["--video", "x", "y", "--mask", "m"], "2 videos but --mask 1"),
    (["--cfg-options", "model.sparse=None"], "no sparse convolution"), (["--out", __file__], "not a folder")])
def test_bad_input_is_one_line(config, tmp_path, capsys, arguments, message):
    assert plot_sparsity.main([config, "--out", str(tmp_path / "o"), *arguments]) == 2
    assert message in capsys.readouterr().err


def work(layer, policy):
    return Work(layer, 10, 3, 4, None if policy is None else torch.tensor([policy], dtype=torch.uint8))


def test_spatial_maps_are_means_over_layers():
    done = [work("a.b", ((2, 0), (0, 0))), work("a.c", ((2, 2), (0, 0))), work("d.e", ((0, 0), (0, 2))),
            work("a.f", None)]
    assert plot_sparsity.spatial_map(done, (2, 2), "a.").tolist() == [[1.0, 0.5], [0.0, 0.0]]
    assert plot_sparsity.spatial_map(done, (4, 4)).shape == (4, 4) and plot_sparsity.spatial_map([], (2, 2)).sum() == 0
