import numpy as np
import pytest

from vosplug.datasets.frame_reader import FrameReader


def test_the_least_recently_used_goes_first():
    reader, reads = FrameReader(cache_mib=2.5), []

    def get(key):
        return reader.get(key, lambda: reads.append(key) or np.zeros(2**20, np.uint8))

    for key in "abacab":
        get(key)
    assert reads == ["a", "b", "c", "b"]
    assert reader.held_bytes == 2 * 2**20


def test_no_cache_and_too_large_arrays():
    for reader in (FrameReader(0), FrameReader(0.5)):
        first = reader.get("a", lambda: np.zeros(2**20, np.uint8))
        assert reader.get("a", lambda: np.zeros(2**20, np.uint8)) is not first
        assert reader.held_bytes == 0


def test_arrays_are_read_only():
    array = FrameReader(1).get("a", lambda: np.zeros(3, np.uint8))
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
