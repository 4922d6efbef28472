"""Masks drawn over frames."""

import numpy as np
import pytest

from vosplug.utils.errors import InputError
from vosplug.utils.masks import DAVIS_PALETTE
from vosplug.visualization.overlay import draw_overlay, inner_edge


def example():
    rng = np.random.default_rng(0)
    labels = np.zeros((30, 40), np.uint8)
    labels[5:15, 5:15] = 1
    labels[10:25, 15:38] = 2
    return rng.integers(0, 256, (30, 40, 3), dtype=np.uint8), labels


def test_fill_is_a_blend_and_the_rest_is_untouched():
    image, labels = example()
    before = image.copy()
    drawn = draw_overlay(image, labels, alpha=0.25, contour=False)
    np.testing.assert_array_equal(image, before)
    expected = np.where(labels[..., None] > 0, 0.75 * image + 0.25 * DAVIS_PALETTE[labels], image)
    assert abs(drawn - expected).max() <= 0.51
    np.testing.assert_array_equal(draw_overlay(image, np.zeros_like(labels)), image)
    np.testing.assert_array_equal(draw_overlay(image, labels, alpha=0, contour=False), image)


def test_contours_lie_inside_objects_and_not_on_the_border_of_the_picture():
    labels = np.zeros((8, 10), np.uint8)
    labels[:, :6] = 7
    edge = inner_edge(labels)
    np.testing.assert_array_equal(np.flatnonzero(edge.any(axis=0)), [5])
    image, labels = example()
    drawn = draw_overlay(image, labels)
    assert drawn[5, 10].tolist() == [255, 0, 0]  # object 1, at full brightness
    np.testing.assert_array_equal(drawn[labels == 0], image[labels == 0])


def test_the_box_around_the_objects_does_not_cut_contours():
    image = np.zeros((20, 20, 3), np.uint8)
    labels = np.zeros((20, 20), np.uint8)
    labels[8:12, 8:12] = 1
    bright = (draw_overlay(image, labels) == [255, 0, 0]).all(axis=2)
    assert bright.sum() == 12
    labels[:] = 1
    assert not (draw_overlay(image, labels) == [255, 0, 0]).all(axis=2).any()


def test_bad_input():
    image, labels = example()
    with pytest.raises(InputError, match="size of the image"):
        draw_overlay(image, labels[1:])
    with pytest.raises(InputError, match="alpha"):
        draw_overlay(image, labels, alpha=2)
