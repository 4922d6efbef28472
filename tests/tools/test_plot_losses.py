"""Pictures of what trainings logged."""

import json

import pytest
from PIL import Image

from tests.commands import command_module

plot_losses = command_module("plot_losses")


def write_log(folder, rows, name="20260101_000000"):
    place = folder / name / "vis_data"
    place.mkdir(parents=True)
    (place / "scalars.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def rows_of(steps, scale=1.0, **more):
    return [dict(step=step, lr=0.1, loss_att=scale / step, loss_inter=1.0, loss=scale / step + 1.0, **more)
            for step in steps]


@pytest.fixture
def run(tmp_path):
    return write_log(tmp_path / "full", rows_of(range(1, 101)))


def test_a_picture_and_the_table(run, tmp_path, capsys):
    other = write_log(tmp_path / "other", rows_of(range(1, 101), scale=2.0))
    out, numbers = tmp_path / "out" / "losses.png", tmp_path / "losses.json"
    assert plot_losses.main([str(run), f"mine={other}", "--terms", "att", "att+inter", "loss", "--smooth", "3",
                             "--out", str(out), "--json", str(numbers)]) == 0
    with Image.open(out) as image:
        assert image.format == "PNG" and image.width > 3 * image.height
    found = json.loads(numbers.read_text())
    assert list(found) == ["full", "mine"] and list(found["full"]) == ["att", "att+inter", "loss"]
    first, last = sum(1 / k for k in range(1, 6)) / 5, sum(1 / k for k in range(91, 101)) / 10
    assert found["full"]["att"] == pytest.approx(dict(first=first, last=last, ratio=last / first))
    assert found["mine"]["att+inter"]["first"] == pytest.approx(2 * first + 1) == found["mine"]["loss"]["first"]
    assert "att+inter" in capsys.readouterr().out


def test_every_term_by_default_and_runs_that_lack_one(run, tmp_path):
    other = write_log(tmp_path / "kl", [dict(step=k, loss_kl=1.0, loss=1.0) for k in (1, 2)])
    numbers = tmp_path / "n.json"
    assert plot_losses.main([str(run), str(other), "--out", str(tmp_path / "l.png"), "--json", str(numbers)]) == 0
    found = json.loads(numbers.read_text())
    assert list(found["full"]) == ["att", "inter", "loss"] and list(found["kl"]) == ["kl", "loss"]


def test_resumed_runs_and_stages_are_put_together(tmp_path):
    run = tmp_path / "run"
    write_log(run / "0_static", rows_of(range(1, 6)), "20260101_000000_0_00")
    write_log(run / "0_static", rows_of(range(4, 9), scale=3.0), "20260102_000000_0_00")  # resumed after iteration 3
    write_log(run / "1_main", [*rows_of((1, 2)), {"step": 2, "val/J&F-Mean": 0.5}], "20260103_000000_1_00")
    log = plot_losses.read_log(run)
    assert [row["step"] for row in log] == [*range(1, 9), 9, 10]
    assert [round(row["loss_att"] * k, 6) for row, k in zip(log, range(1, 9), strict=False)] == [1] * 3 + [3] * 5


@pytest.mark.parametrize(("arguments", "says"), [
    (["{run}", "--terms", "attt"], "logged no term 'attt'. Did you mean 'att'?"),
    (["{run}", "--terms", "att+kl"], "logged no term 'kl'"),
    (["{run}/nowhere"], "has no log of a training (scalars.json)"),
    (["{damaged}"], "line 1: not a line of a training log")])
def test_bad_input(run, tmp_path, capsys, arguments, says):
    damaged = tmp_path / "damaged" / "x"
    damaged.mkdir(parents=True)
    (damaged / "scalars.json").write_text('{"step": 1, "loss')
    filled = [text.format(run=run, damaged=damaged.parent) for text in arguments]
    assert plot_losses.main([*filled, "--out", str(tmp_path / "l.png")]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and said[0].startswith("error: ") and says in said[0]
    assert not (tmp_path / "l.png").exists()
