"""Random regions of pictures."""

import cv2
import numpy as np
import pytest

from vosplug.utils.regions import random_regions


def picture(seed=0, size=(70, 90)):
    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 4)


@pytest.mark.parametrize("seed", range(12))
def test_regions_are_connected_disjoint_and_neither_small_nor_large(seed):
    labels = random_regions(picture(seed), np.random.default_rng(seed))
    assert labels.shape == (70, 90) and labels.dtype == np.uint8
    numbers = np.unique(labels)
    assert numbers.tolist() == list(range(labels.max() + 1)) and 1 <= labels.max() <= 4
    for number in numbers[1:]:
        assert cv2.connectedComponents((labels == number).astype(np.uint8), connectivity=4)[0] == 2
        assert 0.01 <= (labels == number).mean() <= 0.25


def test_they_are_a_function_of_the_picture_and_the_generator():
    image = picture()
    one, two, other = (random_regions(image, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, two) and not np.array_equal(one, other)
    assert not np.array_equal(one, random_regions(picture(5), np.random.default_rng(1)))


def test_borders_follow_the_picture():
    """In a picture of two flat halves, nearly all regions lie in one of them."""
    image = np.zeros((80, 80, 3), np.uint8)
    image[:, 40:] = 255
    crossing = []
    for seed in range(20):
        labels = random_regions(image, np.random.default_rng(seed))
        for number in range(1, labels.max() + 1):
            left, right = (labels[:, :40] == number).sum(), (labels[:, 40:] == number).sum()
            crossing.append(min(left, right) / (left + right))
    assert np.mean(np.array(crossing) < 0.1) > 0.9


@pytest.mark.parametrize("size", [(16, 16), (17, 200), (64, 33)])
@pytest.mark.parametrize("value", [0, 255])
def test_flat_and_small_pictures_have_regions_too(size, value):
    for seed in range(5):
        labels = random_regions(np.full((*size, 3), value, np.uint8), np.random.default_rng(seed), count=(2, 3))
        assert 1 <= labels.max() <= 3


def test_as_many_as_are_asked_for():
    counts = {random_regions(picture(seed), np.random.default_rng(seed), count=(3, 3)).max() for seed in range(8)}
    assert counts == {3}
    assert {random_regions(picture(s), np.random.default_rng(s)).max() for s in range(30)} == {1, 2, 3, 4}
