import pytest
import torch

from vosplug.structures import ClipSample
from vosplug.utils.errors import DataError


def labels(*frames):
    """(T, 1, W) labels from rows of numbers."""
    return torch.tensor(frames, dtype=torch.uint8)[:, None]


def test_slots_and_prompts():
    sample = ClipSample(labels([0, 1, 255], [2, 1, 0]), (0, 1), (7, 3), "v", ("a", "b"))
    assert (sample.num_objects, sample.num_frames) == (2, 2)
    assert sample.prompted_at(0) == (1,)
    assert sample.prompted_at(1) == (2,)


def test_a_clip_without_objects_is_allowed():
    assert ClipSample(labels([0, 255]), (), ()).num_objects == 0


@pytest.mark.parametrize(("arguments", "message"), [
    ((torch.zeros(2, 3, 3), (), ()), "uint8 tensor"),
    ((torch.zeros(3, 3, dtype=torch.uint8), (), ()), "uint8 tensor"),
    (([[1]], (), ()), "list"),
    ((labels([1]), (0,), ()), "0 ids but 1 first frames"),
    ((labels([1, 2]), (0, 0), (5, 5)), "two slots"),
    ((labels([1]), (1,), (5,)), "must lie in 0..0"),
    ((labels([1]), (0,), (5,), "v", ("a", "b")), "2 frame names for 1 frames"),
    ((labels([1, 2]), (0,), (5,)), "label 2"),
    ((labels([1], [1]), (1,), (5,)), "before its first frame"),
    ((labels([0], [1]), (0,), (5,)), "no pixel there"),
])
def test_refusals(arguments, message):
    with pytest.raises(DataError, match=message):
        ClipSample(*arguments)
