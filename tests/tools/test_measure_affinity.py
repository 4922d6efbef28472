"""Where affinity is above zero, and the model without it."""

import json

import pytest
import torch

from tests.datasets.trees import davis_tree
from vosplug.inference import build_segmentor
from vosplug.registry import SEGMENTORS
from vosplug.utils.checkpoint import save_checkpoint_file


@pytest.fixture
def measure(tool):
    return tool("measure_affinity")


def write_model(folder, method="SST", number=0, **head):
    """A config of an example, and random weights."""
    model = SEGMENTORS.example(method, number)
    model["matching_head"].update(head)
    (folder / "tiny.py").write_text(f"model = {model!r}\n")
    save_checkpoint_file({"state_dict": build_segmentor(str(folder / "tiny.py"), seed=0).state_dict()},
                         folder / "tiny.pth")
    return [str(folder / "tiny.py"), str(folder / "tiny.pth"), "--device", "cpu", "--data-root", str(folder / "davis")]


def test_shares_and_scores(tmp_path, measure, capsys):
    davis_tree(tmp_path / "davis", {"val": ["a"]}, frames=4)
    command = write_model(tmp_path)
    assert measure.main([*command, "--json", str(tmp_path / "a.json")]) == 0
    record = json.loads((tmp_path / "a.json").read_text())
    assert set(record["above_zero"]) == {"layer 1", "layer 2"}
    assert all(0 <= share <= 1 for layer in record["above_zero"].values() for share in layer.values())
    assert any(share > 0 for layer in record["above_zero"].values() for share in layer.values())
    assert {"J&F-Mean", "J-Mean"} <= record["scores"].keys() & record["scores_without_affinity"].keys()
    assert "affinities zero: J&F-Mean" in capsys.readouterr().out


@pytest.mark.parametrize("heads_kept, own", [("max", 2), ("all", 4)])
def test_counts_by_hand(measure, heads_kept, own):
    """Two layers of two heads, a background and two objects."""
    model = SEGMENTORS.example("SST", 0)
    model["matching_head"]["heads_kept"] = heads_kept
    head = build_segmentor({"model": model}, seed=0).matching_head
    matches = torch.zeros(1, 3, head.out_channels, 2, 2)
    matches[0, 0, 0] = 1  # the background in layer 1
    matches[0, 1, own - 1, 0, 0] = 1  # a cell of the first object in layer 2
    matches[:, :, own:] = 1  # others and previous mask do not count
    count = measure.AffinityCount(head)
    count.add(matches)
    assert count.shares() == {"layer 1": {"background": 1, "objects": 0},
                              "layer 2": {"background": 0, "objects": 0.125}}


def test_muting_leaves_the_previous_mask(measure):
    head = build_segmentor({"model": SEGMENTORS.example("SST", 0)}, seed=0).matching_head
    channels = head.layers[0].query.in_features
    call = (torch.rand(1, channels, 5, 7), [], [], torch.ones(1, 5, 7, dtype=torch.long), 1, 2)
    with measure.muted(head):
        matches = head(*call).matches
    assert not matches[:, :, :-1].any() and (matches[:, 1, -1] == 1).all()
    assert torch.equal(matches[:, :, -1], head(*call).matches[:, :, -1])


@pytest.mark.parametrize("method, head, message", [
    ("CFBI", {}, "has no affinity of objects"), ("SST", dict(affinity=False), "has no affinity of objects"),
    ("SST", dict(score="cosine"), "zero means likeness"),
])
def test_models_without_it_are_refused(tmp_path, measure, capsys, method, head, message):
    assert measure.main(write_model(tmp_path, method, **head)) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and "\n" not in error
