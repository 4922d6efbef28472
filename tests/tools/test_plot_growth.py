"""The slope of the time of grid attention."""

import json

import pytest

from vosplug.utils.images import read_image


@pytest.fixture
def plot(tool):
    return tool("plot_growth")


def write_rows(path, power, note="grid, growing"):
    """Rows whose times grow as the pairs of cells to a power."""
    rows = [{"note": note, "shape": f"(1,128,3,{n},{n})", "ours_ms": ((3 + 2 * n) * 3 * n * n) ** power / 1e4}
            for n in (30, 59, 117)]
    path.write_text(json.dumps({"rows": [{"note": "grid", "shape": "(1,128,4,59,59)", "ours_ms": 1.0}, *rows]}))


@pytest.mark.parametrize("power", [1.0, 0.75])
def test_slopes_are_found(tmp_path, plot, capsys, power):
    pytest.importorskip("matplotlib")
    write_rows(tmp_path / "r.json", power)
    assert plot.main([str(tmp_path / "r.json"), "--out", str(tmp_path / "g.png")]) == 0
    assert f"3 sizes, time grows as ((T + H + W) THW)^{power:.3f}" in capsys.readouterr().out
    assert read_image(tmp_path / "g.png").std() > 1


def test_pairs_are_those_of_the_shapes(tmp_path, plot):
    write_rows(tmp_path / "r.json", 1.0)
    assert plot.growing(tmp_path / "r.json")[0] == [63 * 2700, 121 * 10443, 237 * 41067]


@pytest.mark.parametrize("out, note, message", [("g.jpg", "grid, growing", "must end with .png"),
                                                ("g.png", "grid", "two rows 'grid, growing' are needed")])
def test_bad_input_is_one_line(tmp_path, plot, capsys, out, note, message):
    write_rows(tmp_path / "r.json", 1.0, note)
    assert plot.main([str(tmp_path / "r.json"), "--out", str(tmp_path / out)]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and "\n" not in error
