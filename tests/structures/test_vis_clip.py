"""What a clip of instances holds, and what does not fit."""

import numpy as np
import pytest
import torch

from vosplug.structures import VISClipSample
from vosplug.utils.errors import DataError


def fields(**changes):
    """Two tracks in three frames; the second is absent from the last one."""
    masks = torch.zeros(2, 3, 4, 5, dtype=torch.bool)
    masks[0, :, 0], masks[1, :2, 2, 3] = True, True
    given = dict(masks=masks, boxes=torch.zeros(2, 3, 4), present=torch.tensor([[True] * 3, [True, True, False]]),
                 categories=torch.tensor([4, 0]), ids=np.array([7, 9]), frame_indices=torch.tensor([0, 2, 2]),
                 video="a")
    return {**given, **changes}


def test_ids_and_frames_become_plain_numbers():
    sample = VISClipSample(**fields())
    assert (sample.ids, sample.frame_indices) == ((7, 9), (0, 2, 2))
    assert all(type(number) is int for number in (*sample.ids, *sample.frame_indices))
    assert (sample.num_tracks, sample.num_frames) == (2, 3)


@pytest.mark.parametrize("changes, message", [
    (dict(ids=(7, 7)), "2 tracks need as many different ids"), (dict(ids=(7,)), "2 tracks need as many different ids"),
    (dict(frame_indices=(0, 1)), "2 frame indices for 3 frames"),
    (dict(present=torch.ones(2, 3, dtype=torch.bool)), "present says True for track 9 in frame 2"),
    (dict(categories=torch.tensor([1.0, 2.0])), "categories must be torch.int64"),
    (dict(boxes=torch.zeros(2, 2, 4)), "boxes must be"), (dict(masks=torch.zeros(2, 3, 4, 5)), "masks must be a bool")])
def test_what_does_not_fit_is_told(changes, message):
    with pytest.raises(DataError, match=f"^clip a: .*{message}"):
        VISClipSample(**fields(**changes))
