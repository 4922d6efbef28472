"""J before, while and after objects are covered."""

import json

import numpy as np
import pytest

from vosplug.utils.masks import write_mask


@pytest.fixture
def measure(tool):
    return tool("measure_occlusion")


def masks(folder, widths, size=(4, 12)):
    """A video of one object, id 3, that is so many columns wide in each frame."""
    folder.mkdir(parents=True)
    for t, width in enumerate(widths):
        labels = np.zeros(size, np.uint8)
        labels[:, :width] = 3
        write_mask(folder / f"{t:05}.png", labels)


def test_phases_by_hand(measure):
    assert measure.phases(np.array([8, 8, 2, 0, 4, 8, 2, 8])) == [
        "before", "before", "while", "while", "after", "after", "while", "after"]
    assert measure.phases(np.array([8, 6, 8])) == ["never covered"] * 3


def test_scores_are_sorted_into_phases(tmp_path, measure, capsys):
    masks(tmp_path / "gt" / "a", [8, 8, 8, 0, 2, 8, 8, 8])
    masks(tmp_path / "gt" / "b", [8, 8, 8])
    for name, a, b in (("lost", [8, 4, 8, 0, 0, 0, 0, 0], [8, 2, 8]), ("found", [8, 8, 8, 8, 1, 8, 8, 0], [8, 8, 8])):
        masks(tmp_path / name / "a", a)
        masks(tmp_path / name / "b", b)
    rows = [f"{name}={tmp_path / name}" for name in ("lost", "found")]
    assert measure.main([str(tmp_path / "gt"), *rows, "--json", str(tmp_path / "o.json")]) == 0
    record = json.loads((tmp_path / "o.json").read_text())
    values = {name: [row[phase]["J"] for phase in measure.PHASES] for name, row in record["rows"].items()}
    assert values == {"lost": [0.75, 0.5, 0, 0.25], "found": [1, 0.25, 1, 1]}
    assert [record["rows"]["lost"][phase]["frames"] for phase in measure.PHASES] == [2, 2, 2, 1]
    assert record["videos"] == 2 and "75.0" in capsys.readouterr().out
    pooled = [f"both={tmp_path / name}" for name in ("lost", "found")]
    assert measure.main([str(tmp_path / "gt"), *pooled, "--json", str(tmp_path / "o.json")]) == 0
    assert json.loads((tmp_path / "o.json").read_text())["rows"]["both"]["after"] == {"J": 0.5, "frames": 4}
    assert measure.main([str(tmp_path / "gt"), *rows, "--sequences", "b", "--json", str(tmp_path / "o.json")]) == 0
    record = json.loads((tmp_path / "o.json").read_text())
    assert record["videos"] == 1 and record["rows"]["lost"]["never covered"] == {"J": 0.25, "frames": 1}


@pytest.mark.parametrize("rows, message", [
    (["gt", "x=nowhere"], "NAME=MASKS was expected"), (["nowhere", "x=gt"], "VIDEO/FRAME.png, was expected"),
    (["gt", "x=gt", "--sequences", "a", "b"], "gt has no sequence 'b'"),
    (["gt", "x=less"], "00001.png is missing"), (["gt", "x=small"], "cannot be compared"),
])
def test_bad_input_is_one_line(tmp_path, measure, monkeypatch, capsys, rows, message):
    monkeypatch.chdir(tmp_path)
    masks(tmp_path / "gt" / "a", [8, 8, 8])
    masks(tmp_path / "less" / "a", [8])
    masks(tmp_path / "small" / "a", [8, 8, 8], size=(4, 10))
    assert measure.main(rows) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and "\n" not in error
