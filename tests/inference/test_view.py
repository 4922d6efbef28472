"""The way of a frame to the network's size and of the answer back, where a shift of half a pixel would show."""

import numpy as np
import pytest
import torch

from vosplug.inference import VOSSession
from vosplug.inference.view import in_channels_last
from vosplug.models.preprocessors import VOSPreprocessor
from vosplug.models.segmentors.base import VOSSegmentor


class Ramp(VOSSegmentor):
    """Its logit is the position in the picture, in pixels of the network's size, minus ``edge``."""

    def __init__(self, edge: float, axis: int):
        super().__init__(preprocessor=dict(type="VOSPreprocessor", divisor=1))
        self.sharpness = torch.nn.Parameter(torch.ones(()))
        self.edge, self.axis = edge, axis

    def encode_shallow(self, frame):
        return frame

    def decode_coarse(self, state, features, rows):
        height, width = features.shape[-2:]
        places = (torch.arange((height, width)[self.axis]) + 0.5 - self.edge) * self.sharpness
        return (places[:, None] if self.axis == 0 else places).expand(len(rows), 1, height, width)

    def memorize(self, state, features, masks, rows, run):
        pass


@pytest.mark.parametrize("axis", [0, 1])
def test_an_edge_comes_back_where_it_was(axis):
    native, limit = (60, 100), 30  # the network sees half the size
    session = VOSSession(Ramp(edge=10.0, axis=axis), max_short_side=limit)
    prompt = np.zeros(native, np.uint8)
    prompt[:5] = 1
    session.step(np.zeros((*native, 3), np.uint8), prompt)
    labels = session.step(np.zeros((*native, 3), np.uint8))
    # The edge lies at 10 of the network's pixels, thus between pixels 19 and 20 of the frame.
    expected = np.zeros(native, np.uint8)
    np.moveaxis(expected, axis, 0)[20:] = 1
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("native", [(60, 100), (45, 170)])
def test_logits_of_another_aspect_are_stretched_on_both_axes(native):
    preprocessor = VOSPreprocessor(divisor=16)
    geometry = preprocessor.geometry(native, max_short_side=32)
    height, width = geometry.size
    left, _, top, _ = geometry.pad
    ramp = torch.zeros(1, 2, *geometry.network)
    ramp[0, 0, top:top + height, left:left + width] = torch.arange(height)[:, None] + 0.5
    ramp[0, 1, top:top + height, left:left + width] = torch.arange(width) + 0.5
    restored = preprocessor.restore(ramp, geometry)[0]
    for axis, (ours, seen, whole) in enumerate(zip(restored, (height, width), native, strict=True)):
        places = (torch.arange(whole) + 0.5) * seen / whole
        inner = slice(whole // 4, -(whole // 4))  # bilinear interpolation is flat at the rim
        line = ours[:, 0] if axis == 0 else ours[0]
        torch.testing.assert_close(line[inner], places[inner], atol=1e-4, rtol=0)


def test_given_masks_push_other_objects_down_in_the_logits():
    session = VOSSession(Ramp(edge=-1000.0, axis=0))  # an object everywhere
    size = (20, 30)
    first, second = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
    first[:10], second[5:15, :10] = 1, 2
    session.step(np.zeros((*size, 3), np.uint8), first)
    prediction = session.predict(np.zeros((*size, 3), np.uint8), second)
    logits = prediction.logits
    given = torch.from_numpy(second == 2)
    assert (logits.argmax(dim=0)[given] == 2).all()
    assert (logits[2][given] - logits[1][given] > 10).all() and (logits[1][~given] - logits[2][~given] > 10).all()
    assert (prediction.prob[1][given] < 1e-4).all() and (prediction.prob[1][~given] > 0.99).all()


def test_frames_have_the_strides_of_channels_last():
    """A permuted picture (H, W, C) has them but for the first, and is then taken for another format."""
    picture = torch.rand(6, 8, 3)
    for frame in (picture.permute(2, 0, 1)[None], torch.as_strided(picture, (1, 3, 6, 8), (3, 1, 24, 3))):
        found = in_channels_last(frame)
        assert found.stride() == (144, 1, 24, 3) and torch.equal(found, frame)
