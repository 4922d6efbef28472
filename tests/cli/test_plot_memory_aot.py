"""Memory of DeAOT over a long video is flat: no long-term frames but prompts, or a budget of them."""

import json

import pytest

from vosplug.cli.plot_memory import main
from vosplug.models.memories.layered_bank import LayeredBankState

EVENTS = ["--add-at", "20", "--remove-at", "40"]
# 97x161 pixels have 7 x 11 = 77 cells: twelve long-term frames and the last one.
BUDGET = ["--cfg-options", "model.memory.max_tokens=1001"]


def run(tmp_path, name, frames, growth, *more):
    """Run the command at 96x160; the numbers of its curve."""
    out = tmp_path / "memory.json"
    size = ["--frames", str(frames), "--size", "96", "160"]
    assert main([name, *size, "--out", str(out), "--device", "cpu", "--max-growth", str(growth), *more]) == 0
    return json.loads(out.read_text())


@pytest.mark.parametrize("name, events, budget, held", [
    ("deaott", [], [], [1] * 60),
    ("deaott", EVENTS, [], [1] * 20 + [2] * 40),
    ("deaotl", [], BUDGET, None),
])
def test_short_videos(tmp_path, monkeypatch, name, events, budget, held):
    kept, add = [], LayeredBankState.add

    def counted(state, entry):
        add(state, entry)
        kept.append(len(state.kept))

    monkeypatch.setattr(LayeredBankState, "add", counted)
    curve = run(tmp_path, name, 60 if held else 90, 1_000, *events, *budget)
    assert len(curve["frame"]) == (60 if held else 90)
    if held:
        assert kept[: len(held)] == held
    else:  # every fifth frame until the budget is full; the last frame counts, and may be one of them
        assert kept[:60] == [1 + number // 5 for number in range(60)]
        assert set(kept[60:]) == {12, 13}


@pytest.mark.slow
@pytest.mark.parametrize("name, frames, more", [
    ("deaott", 3_000, []), ("deaott", 3_000, ["--add-at", "100", "--remove-at", "200"]), ("deaotl", 1_500, BUDGET),
])
def test_long_videos(tmp_path, name, frames, more):
    run(tmp_path, name, frames, 2, *more)
