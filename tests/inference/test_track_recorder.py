"""Where the masks of tracks land in frames of another size than the model's."""

import numpy as np
import torch
from pycocotools import mask as coco

from vosplug.inference.track_recorder import TrackRecorder
from vosplug.models.tracklets.linking import ClipTracks
from vosplug.structures import ObjectIds


def test_boxes_are_scaled_by_their_own_axis():
    tracks = ClipTracks(scores=torch.full((1, 1, 1, 2), 0.9), boxes=torch.tensor([[[[4.0, 2.0, 12.0, 6.0]]]]),
                        masks=torch.ones(1, 1, 1, 8, 8), labels=torch.zeros(1, 1, dtype=torch.long),
                        ids=[ObjectIds((1,))])
    recorder = TrackRecorder(size=(40, 32))
    (frame,), = [recorder.add(tracks, scale=(5.0, 2.0))]
    mask = coco.decode(recorder.tracks()[0]["segmentations"][0])
    expected = np.zeros((40, 32), np.uint8)
    expected[10:30, 8:24] = 1
    assert len(frame) == 1
    np.testing.assert_array_equal(mask, expected)
