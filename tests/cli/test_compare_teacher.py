"""How near a student is to its teacher, told by a command."""

import json

import numpy as np
import pytest
import torch

from tests.datasets.trees import davis_tree
from vosplug.cli.compare_teacher import main
from vosplug.evaluation.nearness import Nearness, feature_pair, kept_in_place, overlap
from vosplug.inference.model_loading import build_segmentor
from vosplug.models.layers import OffsetNetwork
from vosplug.registry import SEGMENTORS
from vosplug.utils import mask_files
from vosplug.utils.checkpoint import save_checkpoint_file

DEFORMABLE = dict(type="GatedPropagation", radius=2, deformable=dict(type="GatedDeformableAttention", groups=2))
OUTPUT = "propagation.0.id.output"
CKA = dict(teacher=OUTPUT, student=OUTPUT, loss=dict(type="CKALoss"))
INTER = dict(teacher="logits", student="logits", loss=dict(type="InterObjectLoss"))


def weights_of(config, path, seed):
    """A checkpoint whose offset networks move their points."""
    model = build_segmentor(config, seed=seed)
    for part in model.modules():
        if isinstance(part, OffsetNetwork):
            torch.nn.init.normal_(part.point.weight, std=0.5)
    save_checkpoint_file({"state_dict": model.state_dict()}, path)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Configs of a deformable student with and without a pair of cells, and of one that is its teacher's twin."""
    folder = tmp_path_factory.mktemp("near")
    davis_tree(folder / "davis", frames=4)
    teacher = dict(model=SEGMENTORS.example("DeAOT"))
    student = SEGMENTORS.example("DeAOT", losses=[], matching_head=DEFORMABLE)
    weights_of(teacher, folder / "teacher.pth", 1)
    weights_of(dict(model=student), folder / "student.pth", 2)
    for name, model, pairs in (("student", student, [INTER, CKA]), ("relations", student, [INTER]),
                               ("twin", {**teacher["model"], "losses": []}, [CKA])):
        task = dict(type="Distillation", pairs=pairs, teacher=dict(config=teacher, weights=str(folder / "teacher.pth")))
        test = dict(type="DavisDataset", data_root=str(folder / "davis"), split="train")
        (folder / f"{name}.py").write_text(f"model = {model!r}\ntask = {task!r}\ntest_dataset = {test!r}\n")
    return folder


def numbers_of(made, name, weights, *words):
    words = [str(made / f"{name}.py"), str(made / f"{weights}.pth"), "--device", "cpu", *words]
    assert main([*words, "--json", str(made / "n.json")]) == 0
    return json.loads((made / "n.json").read_text())


def test_three_students(made, capsys, monkeypatch):
    opened, plain = [], mask_files.read_bytes
    monkeypatch.setattr(mask_files, "read_bytes", lambda path, *args: (opened.append(str(path)), plain(path, *args))[1])
    numbers = numbers_of(made, "student", "student", "--seed", "5")
    assert {path[-9:] for path in opened if "Annotations" in path} == {"00000.png"}  # no mask after the first
    found = numbers["students"]
    assert list(found) == ["student", "offsets at zero", "before training"] and numbers["videos"] == 2
    assert numbers["features"] == {"teacher": OUTPUT, "student": OUTPUT}
    assert all(0 <= one["J"] <= 1 and -1 <= one["cka"] <= 1 and set(one["J_by_video"]) == {"alpha", "beta"}
               for one in found.values())
    assert found["student"]["cka"] != found["offsets at zero"]["cka"]
    moved = {name: [of["mean_offset"] for of in one["offsets"].values()] for name, one in found.items()}
    assert min(moved["student"]) > 0 == max(moved["offsets at zero"]) == max(moved["before training"])
    said = capsys.readouterr().out
    assert "before training" in said and f"CKA of {OUTPUT}" in said and "off the map" in said


def test_a_twin_of_the_teacher_is_at_no_distance(made):
    found = numbers_of(made, "twin", "teacher", "--frames", "3")["students"]
    assert list(found) == ["student", "before training"]
    assert found["student"]["J"] == 1 and found["student"]["cka"] == pytest.approx(1, abs=1e-5)
    assert found["before training"]["cka"] < 0.99 and not found["student"]["offsets"]


def test_features_can_be_named_and_need_not_be(made, capsys):
    assert numbers_of(made, "relations", "student")["students"]["student"]["cka"] is None
    assert "No CKA" in capsys.readouterr().out
    words = ("--features", "propagation.0.visual.gated", OUTPUT, "--sequences", "beta")
    numbers = numbers_of(made, "relations", "student", *words)
    assert numbers["features"]["teacher"] == words[1] and numbers["students"]["student"]["cka"] is not None
    assert list(numbers["students"]["student"]["J_by_video"]) == ["beta"]


@pytest.mark.parametrize("words, says", [
    (["--features", "nothing", OUTPUT], "the teacher has no feature 'nothing'"),
    (["--features", OUTPUT, "propagation.0.id.outptu"], "Did you mean 'propagation.0.id.output'"),
    (["--features", "logits", OUTPUT], "CKALoss compares a feature of cells"),
    (["--flip"], "--scales and --flip have no effect"), (["--frames", "1"], "no frame was compared"),
    (["--set", "test"], "test"), (["--cfg-options", "task=None"], "has no teacher"),
    (["--cfg-options", "test_dataset=None"], "has no test_dataset")])
def test_bad_input(made, capsys, words, says):
    assert main([str(made / "student.py"), str(made / "student.pth"), "--device", "cpu", *words]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and said[0].startswith("error: ") and says in said[0]


def test_numbers():
    a, b = np.array([[1, 1, 2, 0]], np.uint8), np.array([[1, 2, 2, 0]], np.uint8)
    assert (overlap(a, b, 1), overlap(a, b, 2), overlap(a, b, 3)) == (0.5, 0.5, 1.0)
    nearness = Nearness({"x": [1.0, 0.0], "y": [1.0], "z": []}, [])
    assert nearness.as_json() == {"J": 0.75, "J_by_video": {"x": 0.5, "y": 1.0}, "cka": None, "offsets": {}}
    assert feature_pair("a", "b").loss.estimator == "unbiased"


def test_points_are_kept_in_place():
    model = torch.nn.ModuleList([OffsetNetwork(8), torch.nn.Identity(), OffsetNetwork(8, max_offset=2.0)])
    torch.nn.init.normal_(model[2].point.weight)
    assert kept_in_place(model) == 2 and not model[2](torch.randn(1, 8, 4, 4)).any()
