"""Recording memory, and frames to measure with."""

import json
import mmap

import numpy as np
import pytest
import torch

from vosplug.inference.measuring import PeakMemory
from vosplug.inference.memory_log import MemoryLog, slowdown
from vosplug.inference.synthetic_frames import WanderingDiscs
from vosplug.utils.errors import InputError
from vosplug.utils.process_memory import resident_mib


def test_resident_memory_sees_what_is_used():
    before = resident_mib()
    with mmap.mmap(-1, 64 * 2**20) as block:  # from the system: the heap may have as much to spare
        block.write(b"1" * len(block))
        assert resident_mib() - before > 48


def test_the_peak_is_seen_although_it_is_over():
    with PeakMemory(torch.device("cpu")) as peak:
        block = np.ones((128, 2**17))
        del block
    assert 100 < peak.mib < 400


def test_growth_per_thousand_frames(tmp_path):
    log = MemoryLog(tmp_path / "m.csv")
    log.frames = list(range(10))
    log.values = [50.0 * t for t in range(5)] + [200 + 0.01 * t for t in range(5, 10)]
    assert log.growth(5) == pytest.approx(10)
    assert log.growth(9) is None


def test_the_last_quarter_is_compared_with_the_second():
    assert slowdown([9, 9, 2, 2, 5, 5, 3, 3]) == 1.5
    assert slowdown([9.0] * 50 + [2.0] * 40 + [50.0] * 10 + [7.0] * 50 + [3.0] * 30 + [1.0] * 20) == 1.5


@pytest.mark.parametrize("suffix", ["csv", "json", "png"])
def test_files(tmp_path, suffix):
    if suffix == "png":
        pytest.importorskip("matplotlib")
    path = tmp_path / f"m.{suffix}"
    with pytest.raises(RuntimeError), MemoryLog(path) as log:
        log.record(0)
        log.record(1)
        raise RuntimeError
    if suffix == "csv":
        header, *rows = path.read_text().splitlines()
        assert header == "frame,resident_mib" and [row.split(",")[0] for row in rows] == ["0", "1"]
    elif suffix == "json":
        assert json.loads(path.read_text())["frame"] == [0, 1]
    else:
        assert path.read_bytes()[:4] == b"\x89PNG"


def test_unknown_suffix():
    with pytest.raises(InputError, match="suffix"):
        MemoryLog("m.txt")


def test_discs_are_the_same_each_time_and_show_their_labels():
    discs, again = WanderingDiscs(3, (48, 64), objects=3), WanderingDiscs(3, (48, 64), objects=3)
    assert len(discs) == 3
    for a, b in zip(discs, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert set(np.unique(discs.labels(0))) == {0, 1, 2, 3}
    assert not np.array_equal(discs.labels(0), discs.labels(2))
    with pytest.raises(InputError, match="16 x 16"):
        WanderingDiscs(1, (8, 64))
