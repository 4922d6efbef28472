"""The command that shows what a reuse gate saves and costs."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.moving import davis_tree
from vosplug.cli.plot_gate import main
from vosplug.datasets import DavisDataset
from vosplug.evaluation.reuse import ReferenceMasks
from vosplug.registry import SEGMENTORS
from vosplug.utils.configs import load_config


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A config of a tiny gated FRTM, and two videos: a slow object, and a fast one beside a slow one."""
    folder = tmp_path_factory.mktemp("gate")
    davis_tree(folder / "davis", {"slow": [(0, 1)], "both": [(0, 9), (1, 1)]}, frames=6)
    (folder / "tiny.py").write_text(f"model = {SEGMENTORS.example('ReuseGated')!r}\n")
    return folder


def curve(place, out, *more):
    """Run the command; its numbers."""
    command = [str(place / "tiny.py"), "--data-root", str(place / "davis"), "--out", str(out), "--device", "cpu"]
    assert main([*command, *more]) == 0
    return json.loads((out / "curve.json").read_text())


def test_all_gates_and_modes(place, tmp_path, capsys):
    found = curve(place, tmp_path, "--gates", "own,oracle,scheduled,random,change", "--modes", "translate,copy,fusion",
                  "--taus", "0.15,1", "--every", "2", "--rates", ".5", "--tau-copy", ".16", "--pictures", "2",
                  "--max-reuse", "none,1")
    names = [(r["gate"], r["mode"], r["tau"], r["reference"], r["max_reuse"]) for r in found["runs"]]
    assert len(set(names)) == len(names)
    for gate, count in {"own": 2 * 2 * 2 + 2, "oracle": 2 * (2 * 2 + 1), "scheduled": 2, "random": 2}.items():
        assert sum(name[0] == gate for name in names) == count, gate
    assert {name[1] for name in names if name[0] == "change"} >= {"translate", "copy"}
    for run in found["runs"]:
        assert 0 <= run["reuse_rate"] <= 1 and run["macs_g"] > 0 and run["fps"] > 0 and 0 <= run["J&F-Mean"] <= 1
        assert set(run["videos"]) == {"slow", "both"} and len(run["J_by_frame"]) == 4
        if run["tau"] == 1:
            assert run["reuse_rate"] == 0
        if run["gate"] == "scheduled":
            assert run["reuse_rate"] == pytest.approx(3 / 5)  # frames 1, 3 and 5
        if run["max_reuse"] == 1 and run["tau"] == 0.15:
            assert run["reuse_rate"] <= 0.6
    pairs = [ReferenceMasks(v).consecutive() for v in DavisDataset(place / "davis").videos()]
    ious = [value for values in pairs for value in values]
    assert found["share_above_0.7"] == pytest.approx(np.mean(np.array(ious) > 0.7))
    assert found["pairs"] == len(ious) == 15
    for name in ("curve.png", "calibration.png", "similarity.png", "drift.png"):
        assert (tmp_path / name).stat().st_size > 1000
    assert "own, translate, tau 1: J&F" in capsys.readouterr().out


def test_perfect_frames_show_what_is_lost_by_copies(place, tmp_path):
    """By hand: 20 columns that move by 1 have an IoU of 19 / 21 with the frame before, by 9 one of 11 / 29."""
    found = curve(place, tmp_path, "--perfect", "--gates", "oracle,scheduled", "--modes", "copy",
                  "--taus", ".35,.6,.95", "--every", "2")
    by_name = {(r["gate"], r["reference"], r["tau"]): r for r in found["runs"]}
    previous = {tau: by_name["oracle", "previous", tau] for tau in (.35, .6, .95)}
    assert [previous[tau]["reuse_rate"] for tau in (.35, .6, .95)] == pytest.approx([1, 2 / 3, 0])
    assert previous[.95]["J-Mean"] == 1
    assert previous[.6]["mean_probability"] == pytest.approx((2 * 19 / 21 + 11 / 29) / 3, abs=1e-6)
    slow = np.mean([(20 - t) / (20 + t) for t in range(1, 5)])
    assert previous[.6]["J-Mean"] == pytest.approx((slow + 1 + slow) / 3, abs=1e-6)
    full = by_name["oracle", "last_full", .6]
    # 19/21, 18/22, 17/23, 16/24, 15/25: the fifth is no longer above 0.6, but the last frame is not scored
    assert full["videos"]["slow"]["reuse_rate"] == pytest.approx(4 / 5) and full["J-Mean"] == previous[.6]["J-Mean"]
    every = by_name["scheduled", None, 0.5]
    assert every["J-Mean"] == pytest.approx((3 * 1 + 19 / 21 * 2 + 11 / 29) / 6, abs=1e-6)


def test_a_rate_is_found_and_written_as_a_config(place, tmp_path, capsys):
    found = curve(place, tmp_path, "--taus", "1", "--target-rate", ".5")
    target, config = found["target"], load_config(tmp_path / "target_rate.py")
    assert config.model.tau == target["tau"] and abs(target["reuse_rate"] - 0.5) <= 0.5
    assert SEGMENTORS.build(config.model).tau == target["tau"]
    assert "wanted 0.5" in capsys.readouterr().out


def test_pictures(place, tmp_path):
    curve(place, tmp_path, "--taus", "1", "--pictures", "2", "--cfg-options", "model.tau=0.0")
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 2


@pytest.mark.parametrize("more, message", [
    (["--taus", "1.5"], "in 0..1"), (["--every", "x"], "expected numbers with commas"),
    (["--gates", "learnt"], "expected some of own"),
    (["--modes", "translation"], "expected some of translate"), (["--flip"], "each view of a frame decides"),
    (["--target-rate", "2"], "0..1")])
def test_bad_options_are_told(place, tmp_path, capsys, more, message):
    try:
        status = main([str(place / "tiny.py"), "--data-root", str(place / "davis"), "--out", str(tmp_path), *more])
    except SystemExit as error:
        status = error.code
    assert status == 2 and message in capsys.readouterr().err


def test_what_is_lacking_is_told(place, tmp_path, capsys):
    data = ["--data-root", str(place / "davis"), "--out", str(tmp_path / "o")]
    (tmp_path / "plain.py").write_text(f"model = {SEGMENTORS.example('FRTM')!r}\n")
    assert main([str(tmp_path / "plain.py"), *data]) == 2
    assert "FRTM has no reuse gate" in capsys.readouterr().err
    assert main([str(place / "tiny.py"), "--out", str(tmp_path / "o")]) == 2
    assert "--data-root is needed" in capsys.readouterr().err
    masks = Path(davis_tree(tmp_path / "davis", {"slow": [(0, 1)]}, frames=4))
    (masks / "ImageSets/2017/test-dev.txt").write_text("slow\n")
    assert main([str(place / "tiny.py"), "--data-root", str(masks), "--set", "test-dev", "--gates", "oracle",
                 "--out", str(tmp_path / "o")]) == 2
    assert "has no reference masks" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.shared
def test_oracles_on_real_masks(shared, tmp_path):
    """Counts and mean J that follow from the masks of three videos alone."""
    assert main(["g_frtm_fast_r18", "--data-root", str(shared / "data/davis_mini"), "--perfect", "--device", "cpu",
                 "--gates", "oracle,scheduled", "--modes", "copy", "--taus", ".5,.6,.7,.8,.9", "--every", "2,3,4",
                 "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "curve.json").read_text())
    assert found["share_above_0.7"] == pytest.approx(0.389, abs=5e-4)
    curves = {}
    for run in found["runs"]:
        curves.setdefault(run["reference"], []).append((run["reused"], run["J-Mean"]))
    counts = {name: [reused for reused, _ in curve] for name, curve in curves.items()}
    assert counts["last_full"] == [113, 78, 41, 15, 2] and counts["previous"] == [163, 122, 70, 23, 3]
    expected = {"last_full": [.756, .868, .944, .984, .999], "previous": [.303, .576, .790, .954, .997],
                None: [.831, .724, .662]}
    for name, values in expected.items():
        assert [j for _, j in curves[name]] == pytest.approx(values, abs=0.002), name
