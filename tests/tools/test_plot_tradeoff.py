"""Pictures of quality against cost."""

import json

import pytest
from PIL import Image

from tests.commands import command_module

plot_tradeoff = command_module("plot_tradeoff")


@pytest.fixture
def files(tmp_path):
    (tmp_path / "scores.json").write_text(json.dumps({"J&F-Mean": 0.5, "fps": 9.0}))
    (tmp_path / "cost.json").write_text(json.dumps({"fps": 3.0, "peak_mem_mib": 200.0}))
    return tmp_path


def test_a_picture_and_the_table(files, capsys):
    scores, cost, out, numbers = (str(files / name) for name in ("scores.json", "cost.json", "o.png", "n.json"))
    assert plot_tradeoff.main(["--point", "copy", scores, scores, "--point", "net", "84.1", cost, "--out", out,
                               "--json", numbers]) == 0
    with Image.open(out) as image:
        assert image.format == "PNG" and image.width > 2 * image.height
    assert json.loads((files / "n.json").read_text()) == {
        "copy": {"J&F-Mean": 50.0, "fps": 9.0, "peak_mem_mib": None},
        "net": {"J&F-Mean": 84.1, "fps": 3.0, "peak_mem_mib": 200.0}}
    assert "84.1" in capsys.readouterr().out


@pytest.mark.parametrize("point, out, says", [
    (("a", "101", "cost.json"), "o.png", "must lie in 0..100"), (("a", "cost.json", "cost.json"), "o.png", "J&F-Mean"),
    (("a", "1", "none.json"), "o.png", "none.json"), (("a", "1", "cost.json"), "o.gif", "ends in .png")])
def test_bad_input(files, capsys, monkeypatch, point, out, says):
    monkeypatch.chdir(files)
    assert plot_tradeoff.main(["--point", *point, "--out", out]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and said[0].startswith("error: ") and says in said[0]
    assert not (files / out).exists()


def test_names_are_different(files, capsys):
    point = ["--point", "a", "1", str(files / "cost.json")]
    assert plot_tradeoff.main([*point, *point, "--out", str(files / "o.png")]) == 2
    assert "two methods have one name" in capsys.readouterr().err
