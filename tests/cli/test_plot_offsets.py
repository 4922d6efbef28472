"""Pictures of the points that deformable attention moves."""

import json

import numpy as np
import pytest
import torch

from tests.inference.colour_segmentor import moving_squares
from vosplug.cli.plot_offsets import extent_of, frames_of_memory, main
from vosplug.evaluation.offsets import MovedPoints, OffsetWatch
from vosplug.inference.model_loading import build_segmentor
from vosplug.models.layers import OffsetNetwork
from vosplug.registry import SEGMENTORS
from vosplug.utils.checkpoint import save_checkpoint_file
from vosplug.utils.images import read_image, write_image
from vosplug.utils.masks import write_mask

HEADS = {"DeAOT": dict(type="GatedPropagation", radius=2, deformable=dict(type="GatedDeformableAttention", groups=2)),
         "STCN": dict(type="DeformableMatching", head=dict(type="L2Matching"), groups=2, grid_factor=1)}


@pytest.fixture
def folder(tmp_path):
    for t, (image, labels) in enumerate(moving_squares(frames=4)):
        write_image(tmp_path / "images" / f"{t:05d}.png", image)
        if t == 0:
            write_mask(tmp_path / "first.png", labels)
    return tmp_path


def command_for(folder, name):
    config = SEGMENTORS.example(name, matching_head=HEADS[name])
    (folder / "model.py").write_text(f"model = {config!r}\n")
    model = build_segmentor(str(folder / "model.py"), seed=0)
    for part in model.modules():
        if isinstance(part, OffsetNetwork):
            torch.nn.init.normal_(part.point.weight, std=0.5)
    save_checkpoint_file({"state_dict": model.state_dict()}, folder / "model.pth")
    return [*(str(folder / x) for x in ("model.py", "model.pth", "images")), "--mask", str(folder / "first.png"),
            "--out", str(folder / "o.png"), "--json", str(folder / "o.json"), "--device", "cpu"]


@pytest.mark.parametrize("name, networks", [
    ("DeAOT", [f"matching_head.blocks.0.deformable.networks.{place}" for place in ("long_term", "short_term", "self")]),
    ("STCN", ["matching_head.network"])])
def test_a_picture_and_numbers(folder, capsys, name, networks):
    assert main([*command_for(folder, name), "--frame", "3"]) == 0
    numbers = json.loads((folder / "o.json").read_text())["networks"]
    assert list(numbers) == networks
    assert all(found["mean_offset"] > 0 and 0 <= found["outside"] <= 1 for found in numbers.values())
    said = capsys.readouterr().out
    assert f"{networks[0]}: mean offset {numbers[networks[0]]['mean_offset']:.3f} cells" in said
    picture = read_image(folder / "o.png")
    assert picture.std() > 1 and picture.shape[1] == 960  # two groups


def test_numbers_of_points():
    """A map of 4x6 with 2x3 points at (0.5, 2.5) x (0.5, 2.5, 4.5)."""
    offsets = torch.zeros(1, 1, 2, 2, 3, dtype=torch.float64)
    offsets[0, 0, :, 0, 0] = torch.tensor([3.0, 4.0])  # to (3.5, 4.5): on the edge
    offsets[0, 0, 1, 1, 2] = 1.5  # to column 6
    points = MovedPoints("self", (4, 6), offsets)
    assert points.lengths.flatten().tolist() == [5, 0, 0, 0, 0, 1.5]
    assert points.outside.flatten().tolist() == [False] * 5 + [True]
    watch = OffsetWatch()
    network = OffsetNetwork(4, groups=1)
    with watch.watch(torch.nn.ModuleDict({"one": network})) as count:
        network(torch.randn(1, 4, 4, 6))
    network(torch.randn(1, 4, 4, 6))
    assert count == 1 and watch.as_json() == {"one": {"mean_offset": 0.0, "outside": 0.0, "points": 6}}


def test_a_picture_lies_under_its_cells():
    """Frames of 16 n + 1 have cells at pixels 0, 16, ...; others are divided."""
    left, right, bottom, top = extent_of(np.zeros((33, 49, 3)), (3, 4))
    assert (left, top) == (-0.5 / 16, -0.5 / 16) and (right, bottom) == (48.5 / 16, 32.5 / 16)
    assert extent_of(np.zeros((32, 48, 3)), (2, 3)) == (-0.5, 2.5, 1.5, -0.5)


def test_without_a_memory_the_frame_stands_for_it():
    assert frames_of_memory(None, 3) == {"self": 3, "memory": 3}
