"""Memory and time of SST over a long video: a buffer of the last frames, however long the video."""

import json

import pytest

from vosplug.cli.plot_memory import main
from vosplug.models.memories.frame_bank import FrameBankState

EVENTS = ["--add-at", "10", "--remove-at", "20"]


def run(tmp_path, name, frames, *more):
    """Run the command at 96x160; the numbers of its curve."""
    out = tmp_path / "memory.json"
    size = ["--frames", str(frames), "--size", "96", "160"]
    assert main([name, *size, "--out", str(out), "--device", "cpu", *more]) == 0
    return json.loads(out.read_text())


def test_the_buffer_is_full_after_three_frames_and_stays_so(tmp_path, monkeypatch):
    kept, add = [], FrameBankState.add

    def counted(state, entry):
        add(state, entry)
        kept.append(len(state))

    monkeypatch.setattr(FrameBankState, "add", counted)
    assert len(run(tmp_path, "sst_small", 30, *EVENTS)["frame"]) == 30
    assert kept == [1, 2] + [3] * 28


@pytest.mark.slow
@pytest.mark.parametrize("more", [[], ["--add-at", "100", "--remove-at", "200"]])
def test_long_videos(tmp_path, more):
    run(tmp_path, "sst_small", 3_000, "--max-growth", "2", *more)


@pytest.mark.slow
def test_late_frames_take_no_longer(tmp_path):
    """The median of frames 150 to 200 against that of frames 50 to 100."""
    run(tmp_path, "sst_small", 200, "--max-slowdown", "1.25")
