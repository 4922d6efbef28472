"""Memory of target models over a long video is flat."""

import json

import pytest

from vosplug.cli.plot_memory import main


@pytest.mark.slow
@pytest.mark.parametrize("name", ["frtm_small", "g_frtm_small"])
def test_samples_are_bounded(tmp_path, name):
    """The memory of two objects is full (40 samples each) after a third of the frames."""
    out = tmp_path / "memory.json"
    assert main([name, "--frames", "300", "--size", "120", "216", "--out", str(out), "--device", "cpu", "--settled",
                 "100", "--max-growth", "20"]) == 0
    assert len(json.loads(out.read_text())["frame"]) == 300
