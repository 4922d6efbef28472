"""Which frames of training clips are read."""

import pytest
import torch

from vosplug.models.memories import ClipSampler, MemoryEntry
from vosplug.utils.errors import ConfigError


def entry(frame, prompted, objects=1):
    return MemoryEntry(frame, {"key": torch.zeros(2, 2, 4)}, {"value": torch.zeros(2, objects, 3, 4)},
                       valid=torch.ones(2, objects, dtype=torch.bool), prompted=prompted)


def test_the_first_and_one_random_frame_are_read():
    second = []
    for seed in range(40):
        torch.manual_seed(seed)
        memory = ClipSampler(train_frames=2).new()
        for t in range(3):
            assert memory.wants(t, prompted=t == 0, last=False) and not memory.wants(t, prompted=t == 0, last=True)
            memory.add(entry(t, prompted=t == 0))
            assert memory.latest.frame == t
        assert [e.frame for e in memory][0] == 0 and len(memory) == 2
        second.append([e.frame for e in memory][1])
    assert set(second) == {1, 2} and 8 < second.count(1) < 32


def test_draws_are_those_of_reservoir_sampling():
    """The n-th frame after the room is full replaces a random one with probability room / n."""
    for seed in range(20):
        torch.manual_seed(seed)
        expected = []
        for number in range(1, 7):
            if len(expected) < 2:
                expected.append(number)
            elif (place := int(torch.randint(number, ()))) < 2:
                expected = [frame for i, frame in enumerate(expected) if i != place] + [number]
        torch.manual_seed(seed)
        memory = ClipSampler(train_frames=3).new()
        for t in range(7):
            memory.add(entry(t, prompted=t == 0))
        assert [e.frame for e in memory] == [0, *expected]


def test_frames_drawn_ahead_are_known_before_they_are_written():
    """One of the first two frames that start no object is kept."""
    chosen = set()
    for seed in range(8):
        torch.manual_seed(seed)
        planned = int(torch.randperm(2)[0]) + 1
        torch.manual_seed(seed)
        memory = ClipSampler(train_frames=2, train_candidates=2).new()
        for t in range(4):
            expected = memory.is_kept(t, t == 0)
            assert memory.is_kept(t, t == 0) is expected
            memory.add(entry(t, prompted=t == 0))
            assert (memory.kept[-1].frame == t) is expected
        assert [e.frame for e in memory] == [0, planned]
        chosen.add(planned)
    assert chosen == {1, 2}


def test_frames_drawn_as_they_come_are_known_before_too():
    for seed in range(8):
        torch.manual_seed(seed)
        memory = ClipSampler(train_frames=2).new()
        for t in range(5):
            expected = memory.is_kept(t, t == 0)
            memory.add(entry(t, prompted=t == 0))
            assert any(e.frame == t for e in memory) is expected
            assert len(memory) <= 2


def test_objects_are_dropped():
    memory = ClipSampler(train_frames=3).new()
    memory.add(entry(0, True))
    memory.add(entry(1, True, objects=2))
    memory.keep_objects(torch.tensor([1]))
    assert [e.frame for e in memory] == [1] and memory.latest.objects == 1
    memory.keep_objects(torch.tensor([], dtype=torch.long))
    assert len(memory) == 0 and memory.latest is None


def test_too_few_candidates_are_refused():
    with pytest.raises(ConfigError, match="train_candidates"):
        ClipSampler(train_frames=4, train_candidates=2)
