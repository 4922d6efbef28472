"""J against the frame number, for several settings of one model."""

import json

import numpy as np
import pytest

from tests.commands import command_module
from vosplug.datasets.synthetic import iter_video
from vosplug.registry import SEGMENTORS
from vosplug.utils.images import read_image

plot_quality = command_module("plot_quality")


class Fixed:
    """A session that knows the answers, or knows nothing."""

    def __init__(self, answers):
        self.answers = iter(answers)
        self.given = []

    def step(self, image, labels=None, last=False):
        self.given.append((labels is not None, last))
        return next(self.answers)


@pytest.fixture
def config(tmp_path):
    (tmp_path / "tiny.py").write_text(f"model = {SEGMENTORS.example('DeAOT', 1)!r}\n")
    return str(tmp_path / "tiny.py")


def test_curves_are_between_nothing_and_everything():
    truth = [labels for _, labels in iter_video(3, 4, (48, 64))]
    sessions = {"all": Fixed(truth), "none": Fixed([np.zeros_like(labels) for labels in truth])}
    curves = plot_quality.measure_quality(sessions, 4, (48, 64), seed=3)
    assert curves == {"all": [1.0] * 3, "none": [0.0] * 3}  # the first frame is given
    assert sessions["all"].given == [(True, False), (False, False), (False, False), (False, True)]


def test_mean_over_objects_by_hand():
    reference = np.array([[1, 1, 2, 2, 5]], np.uint8)
    prediction = np.array([[1, 0, 2, 2, 1]], np.uint8)
    assert plot_quality.mean_jaccard(prediction, reference, [1, 2]) == pytest.approx((1 / 3 + 1) / 2)
    assert plot_quality.mean_jaccard(prediction, reference, [9]) == 1  # gone, and not found


def test_settings_share_weights_and_frames(config, tmp_path, capsys):
    command = [config, "--frames", "6", "--size", "48", "64", "--device", "cpu"]
    out = [tmp_path / "q.json", tmp_path / "q.png"]
    assert plot_quality.main([*command, "--variant", "as trained", "--variant", "same", "model.memory.gap=2",
                              "--variant", "first only", "model.memory.gap=99",
                              *(word for path in out for word in ("--out", str(path)))]) == 0
    curves = json.loads(out[0].read_text())["J"]
    assert list(curves) == ["as trained", "same", "first only"] and all(len(values) == 5 for values in curves.values())
    assert curves["as trained"] == curves["same"]
    assert read_image(out[1]).std() > 1
    text = capsys.readouterr().out
    assert "first only" in text and "written:" in text


@pytest.mark.parametrize("more, message", [
    (["--out", "q.txt"], "the suffix must be .png or .json"),
    (["--out", "q.json", "--variant", "a", "model.memry.gap=2"], "memry"),
    (["--out", "q.json", "--size", "4", "4"], "synthetic video"),
])
def test_bad_input_is_one_line(config, tmp_path, capsys, monkeypatch, more, message):
    monkeypatch.chdir(tmp_path)
    assert plot_quality.main([config, "--frames", "3", "--device", "cpu", *more]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and "\n" not in error


@pytest.mark.parametrize("words", [["a=1"], ["a", "--variant", "a"]])
def test_a_setting_has_a_name_of_its_own(config, capsys, words):
    with pytest.raises(SystemExit) as raised:
        plot_quality.main([config, "--out", "q.json", "--variant", *words])
    assert raised.value.code == 2 and "begins with a name of its own" in capsys.readouterr().err
