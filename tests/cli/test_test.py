"""The command that segments and scores a data set."""

import json
import zipfile

import numpy as np
import pytest

from tests.inference.colour_segmentor import moving_squares
from vosplug.cli.test import main
from vosplug.inference import build_segmentor
from vosplug.utils.checkpoint import save_checkpoint_file
from vosplug.utils.images import write_image
from vosplug.utils.masks import read_mask, write_mask

KEYS = {"J&F-Mean", "J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay"}
TIMES = {"fps", "fps_mean", "first_frame_ms"}


@pytest.fixture
def davis(tmp_path):
    """A DAVIS root: `one` in val, `two` in test-dev with its first mask only."""
    for name, split in (("one", "val"), ("two", "test-dev")):
        for t, (image, labels) in enumerate(moving_squares(frames=5)):
            write_image(tmp_path / "JPEGImages" / "480p" / name / f"{t:05d}.jpg", image)
            if split == "val" or t == 0:
                write_mask(tmp_path / "Annotations" / "480p" / name / f"{t:05d}.png", labels)
        lists = tmp_path / "ImageSets" / "2017"
        lists.mkdir(parents=True, exist_ok=True)
        (lists / f"{split}.txt").write_text(f"{name}\n")
    return tmp_path


@pytest.fixture
def model(root, tmp_path):
    """A config of a small STCN and weights for it."""
    config = tmp_path / "small.py"
    config.write_text(f"_base_ = [{str(root / 'configs' / '_base_' / 'stcn_small_model.py')!r}]\n"
                      "test_session = dict(max_short_side=32)\n"
                      f"test_dataset = dict(type='DavisDataset', data_root={str(tmp_path)!r}, split='val')\n"
                      "test_evaluator = dict(type='DavisMetric')\n")
    from vosplug.utils.configs import load_config

    weights = tmp_path / "small.pth"
    save_checkpoint_file({"state_dict": build_segmentor(load_config(config), seed=0).state_dict()}, weights)
    return str(config), str(weights)


def test_a_model_on_the_data_set_of_its_config(model, davis, tmp_path, capsys):
    status = main([*model, "--json", str(tmp_path / "r.json"), "--out", str(tmp_path / "out"),
                   "--show-dir", str(tmp_path / "show"), "--device", "cpu", "--flip", "--amp"])
    assert status == 0
    numbers = json.loads((tmp_path / "r.json").read_text())
    assert set(numbers) == KEYS | TIMES | {"frames"} and numbers["frames"] == 5
    assert f"{numbers['J-Mean']:.3f}" in capsys.readouterr().out
    assert len(list((tmp_path / "out" / "one").iterdir())) == 5
    assert (tmp_path / "show" / "one.mp4").is_file()
    assert json.loads((tmp_path / "out" / "results.json").read_text())["scores"]["J-Mean"] == numbers["J-Mean"]


@pytest.mark.parametrize("answer, density", [(2, 1.0), (0, 0.0)])
def test_sparse_models_report_what_they_computed(model, davis, tmp_path, capsys, answer, density):
    config, _ = model
    sparse = tmp_path / "sparse.py"
    sparse.write_text(f"_base_ = [{config!r}]\n"
                      "model = dict(sparse=dict(where='QD', conv=dict(type='TripleSparseConv')))\n")
    from vosplug.utils.configs import load_config

    weights = tmp_path / "sparse.pth"
    state = build_segmentor(load_config(sparse), seed=0).state_dict()
    for name, value in state.items():  # all gates give one answer
        if name.endswith(".gate.bias"):
            value[answer] += 1000
    save_checkpoint_file({"state_dict": state}, weights)
    assert main([str(sparse), str(weights), "--json", str(tmp_path / "r.json"), "--device", "cpu"]) == 0
    numbers = json.loads((tmp_path / "r.json").read_text())
    assert numbers["density"] == pytest.approx(density, abs=1e-9)
    assert f"density {numbers['density']:.4f}" in capsys.readouterr().out


def test_baselines_need_no_config(davis, tmp_path):
    scores = {}
    for name in ("copy", "flow"):
        path = tmp_path / f"{name}.json"
        assert main(["--baseline", name, "--eval", "davis", "--data-root", str(davis), "--json", str(path)]) == 0
        scores[name] = json.loads(path.read_text())["J&F-Mean"]
    assert scores["copy"] < scores["flow"]


def test_without_references_there_is_a_submission_and_no_number(davis, tmp_path, capsys):
    command = ["--baseline", "flow", "--eval", "davis", "--data-root", str(davis), "--set", "test-dev"]
    assert main([*command, "--json", str(tmp_path / "r.json"), "--out", str(tmp_path / "out")]) == 0
    assert not KEYS & set(json.loads((tmp_path / "r.json").read_text()))
    with zipfile.ZipFile(tmp_path / "out" / "submission.zip") as archive:
        assert archive.namelist() == [f"two/{t:05d}.png" for t in range(5)]
    assert "No numbers" in capsys.readouterr().out
    assert main(command) == 2
    assert "give --out DIR" in capsys.readouterr().err


def test_davis_2016_has_one_foreground(davis, tmp_path):
    (davis / "ImageSets" / "2016").mkdir()
    (davis / "ImageSets" / "2016" / "val.txt").write_text("one\n")
    assert main(["--baseline", "flow", "--eval", "davis", "--data-root", str(davis), "--year", "2016", "--out",
                 str(tmp_path / "out")]) == 0
    assert set(np.unique(read_mask(tmp_path / "out" / "one" / "00003.png"))) == {0, 1}
    assert list(json.loads((tmp_path / "out" / "results.json").read_text())["videos"]["one"]["objects"]) == ["1"]


@pytest.mark.shared
def test_youtube_vos(shared, tmp_path):
    command = ["--baseline", "copy", "--eval", "youtube_vos", "--data-root", str(shared / "data" / "ytvos_mini")]
    assert main([*command, "--json", str(tmp_path / "r.json")]) == 0
    numbers = json.loads((tmp_path / "r.json").read_text())
    assert set(numbers) == {"G", "J_seen", "J_unseen", "F_seen", "F_unseen", "frames"} | TIMES
    assert numbers["G"] == pytest.approx(sum(numbers[k] for k in ("J_seen", "J_unseen", "F_seen", "F_unseen")) / 4)


@pytest.mark.parametrize(("arguments", "message"), [
    (["CONFIG"], "needs CONFIG and CHECKPOINT"),
    (["CONFIG", "WEIGHTS", "--eval", "youtube_vis"], "video instance segmentation"),
    (["c.py", "w.pth", "--baseline", "copy"], "takes no checkpoint"),
    (["--baseline", "copy", "--eval", "davis"], "needs --data-root"),
    (["--baseline", "copy"], "say what to test on"),
    (["--baseline", "copy", "--flip", "--eval", "davis"], "--flip has no effect"),
    (["--baseline", "copy", "--eval", "davis", "--data-root", "/nowhere"], "nowhere"),
    (["missing.py", "w.pth"], "missing.py"),
    (["CONFIG", "missing.pth"], "checkpoint not found"),
    (["CONFIG", "WEIGHTS", "--launcher", "slurm"], "unknown launcher"),
    (["CONFIG", "WEIGHTS", "--launcher", "pytorch"], "torchrun"),
    (["CONFIG", "WEIGHTS", "--device", "cuda:99"], "cuda:99"),
    (["CONFIG", "WEIGHTS", "--scales", "0"], "scales must be positive"),
    (["CONFIG", "WEIGHTS", "--set", "vall"], "Did you mean 'val'"),
    (["CONFIG", "WEIGHTS", "--out", "WEIGHTS/below"], "cannot make the folder"),
])
def test_bad_input_is_one_line(model, davis, capsys, arguments, message):
    names = {"CONFIG": model[0], "WEIGHTS": model[1], "WEIGHTS/below": model[1] + "/below"}
    assert main([names.get(a, a) for a in arguments]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and message in error


def test_gated_models_report_what_they_did(davis, tmp_path, capsys):
    from vosplug.registry import SEGMENTORS
    from vosplug.utils.configs import load_config

    config = tmp_path / "gated.py"
    config.write_text(f"model = {SEGMENTORS.example('ReuseGated', tau=0.5)!r}\n")
    save_checkpoint_file({"state_dict": build_segmentor(load_config(config), seed=0).state_dict()}, tmp_path / "g.pth")
    command = [str(config), str(tmp_path / "g.pth"), "--eval", "davis", "--data-root", str(davis), "--device", "cpu",
               "--json", str(tmp_path / "r.json"), "--cfg-options"]
    found = {}
    for tau in (0.0, 1.0):
        assert main([*command, f"model.tau={tau}"]) == 0
        found[tau] = json.loads((tmp_path / "r.json").read_text())
        assert f"one: reuse rate {1 - tau:.4f}, macs g " in capsys.readouterr().out
    assert (found[0.0]["reuse_rate"], found[1.0]["reuse_rate"]) == (1, 0)  # the first frame is not counted
    assert 0 < found[0.0]["macs_g"] < found[1.0]["macs_g"]
    assert found[0.0]["videos"] == {"one": {"reuse_rate": 1, "macs_g": found[0.0]["macs_g"]}}
