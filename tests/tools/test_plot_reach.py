"""The picture of how far a cell is heard."""

import json

import pytest

from vosplug.utils.images import read_image


@pytest.fixture
def plot(tool):
    return tool("plot_reach")


def test_cells_by_layer(tmp_path, plot, capsys):
    pytest.importorskip("matplotlib")
    out = [tmp_path / "r.png", tmp_path / "r.json"]
    assert plot.main(["sst/grid_l3", "sst/naive", "--size", "2", "4", "5", "--out", str(out[0]), "--json",
                      str(out[1])]) == 0
    record = json.loads(out[1].read_text())
    assert record["cell"] == [1, 2, 2]  # in the middle of the last frame
    assert record["cells_by_layer"] == {"sst/grid_l3": [2 + 4 + 5 - 2, 3 * 4 + 3 + 4, 3 * 4], "sst/naive": [40]}
    assert read_image(out[0]).std() > 1
    assert "sst/naive: 40 = 40 of 40 cells" in capsys.readouterr().out


@pytest.mark.parametrize("words, message", [
    (["stcn_small", "--out", "r.png"], "names no attentions"), (["sst_r101", "--out", "r.jpg"], "must end with .png"),
    (["sst_r101", "--out", "r.png", "--cell", "9", "0", "0"], "does not lie in --size")])
def test_bad_input_is_one_line(tmp_path, plot, capsys, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    assert plot.main(words) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and "\n" not in error
