"""Samples of a first frame."""

import numpy as np
import pytest
import torch

from vosplug.models.layers import CutAndPaste, FixedSamples
from vosplug.models.preprocessors import VOSPreprocessor
from vosplug.utils.errors import ConfigError

SIZE = (48, 64)


def scene():
    """An image (3, H, W) uint8 and a mask (H, W)."""
    random = np.random.default_rng(0)
    image = torch.from_numpy(random.integers(0, 255, (3, *SIZE), dtype=np.uint8))
    mask = torch.zeros(SIZE)
    mask[10:30, 20:40] = 1
    return image, mask


def samples(layer, seed=(0, 1, 0), mask=None):
    preprocessor = VOSPreprocessor(divisor=1)
    image, given = scene()
    return layer(preprocessor.normalize(image), given if mask is None else mask, seed, preprocessor)


def test_fixed_samples():
    layer = FixedSamples()
    frames, masks = samples(layer)
    assert frames.shape == (5, 3, *SIZE) and masks.shape == (5, *SIZE) and layer.count == 5
    assert torch.equal(frames[1], frames[0].flip(-1)) and torch.equal(masks[4], masks[0].flip((-2, -1)))
    assert torch.equal(masks[2], torch.from_numpy(np.roll(masks[0].numpy(), (16, -24), (0, 1))))


def test_frame_itself_comes_first_and_the_object_moves():
    layer = CutAndPaste(num_aug=6)
    frames, masks = samples(layer)
    assert frames.shape == (6, 3, *SIZE) and masks.unique().tolist() == [0, 1]
    image, mask = scene()
    assert torch.equal(masks[0], mask) and torch.equal(frames[0], VOSPreprocessor(divisor=1).normalize(image))
    assert all(not torch.equal(mask, masks[0]) and mask.sum() >= 10 for mask in masks[1:])
    assert torch.isfinite(frames).all()


def test_pasted_pixels_are_the_objects_own():
    """Only moved, the object keeps its values but for interpolation, and its old place is filled from around it."""
    still = dict(rotation=[0], flip=[False], scale=[1.0], skew=[(0.0, 0.0)], blur_size=[0.0], blur_angle=[0])
    image = np.full((*SIZE, 3), 50, np.uint8)
    mask = np.zeros(SIZE, np.uint8)
    mask[10:20, 10:20] = 1
    image[mask > 0] = 200
    layer = CutAndPaste(num_aug=4, foreground=still, background=still)
    images, masks = layer.augment(image, mask, np.random.default_rng(0))
    for pasted, moved in zip(images[1:], masks[1:], strict=True):
        inside = moved.astype(bool)
        assert abs(np.median(pasted[inside]) - 200) < 12 and np.median(pasted[~inside]) == 50
        assert (pasted[~inside & (mask > 0)] < 120).mean() > 0.9 or not (~inside & (mask > 0)).any()


def test_same_seed_same_samples_whatever_was_drawn_before():
    layer, state = CutAndPaste(), np.random.get_state()[1].copy()  # noqa: NPY002 (that it stays as it is)
    first = samples(layer)
    torch.rand(7)
    again, other = samples(layer), samples(layer, seed=(1, 1, 0))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[1], other[1]) and not torch.equal(samples(layer, seed=(0, 2, 0))[1], first[1])
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002


@pytest.mark.parametrize("pixels", [0, 1, 9])
def test_objects_that_are_too_small_give_plain_samples(pixels):
    mask = torch.zeros(SIZE)
    mask.view(-1)[:pixels] = 1
    frames, masks = samples(CutAndPaste(), mask=mask)
    assert all(torch.equal(m, mask) for m in masks) and len(frames) == 5


def test_a_mask_that_fills_the_frame():
    frames, masks = samples(CutAndPaste(), mask=torch.ones(SIZE))
    assert torch.isfinite(frames).all() and len(masks) == 5


@pytest.mark.parametrize("options, message", [
    (dict(num_aug=0), "num_aug must be at least 1"), (dict(feather=0), "feather must be at least 1"),
    (dict(foreground=dict(rotations=[1])), "takes lists"), (dict(background=dict(scale=[])), "not empty")])
def test_bad_options(options, message):
    with pytest.raises(ConfigError, match=message):
        CutAndPaste(**options)
