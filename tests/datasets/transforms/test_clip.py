import cv2
import numpy as np
import pytest

from vosplug.datasets.transforms import MEAN_COLOUR, Clip
from vosplug.datasets.transforms.geometry import about_centre, rotation, scaling, translation
from vosplug.utils.errors import DataError


def picture(height=40, width=60):
    """A smooth picture whose red channel shows its mask."""
    y, x = np.mgrid[:height, :width]
    labels = ((x - 30) ** 2 + (y - 20) ** 2 < 150).astype(np.uint8)
    image = np.stack([labels * 200, 2 * x, 3 * y], -1).astype(np.uint8)
    return image, labels


def test_nothing_pending_gives_the_arrays_themselves():
    image, labels = picture()
    clip = Clip([image], [labels])
    assert clip.images[0] is image and clip.labels[0] is labels


def test_whole_pixels_move_exactly():
    image, labels = picture()
    clip = Clip([image], [labels]).warp([translation(10, 5)], (30, 40))
    assert np.array_equal(clip.images[0], image[5:35, 10:50])
    assert np.array_equal(clip.labels[0], labels[5:35, 10:50])


def test_outside_is_filled():
    image, labels = picture()
    clip = Clip([image], [np.ones_like(labels)]).warp([translation(-10, 0)], (40, 60))
    assert (clip.images[0][:, :9] == MEAN_COLOUR).all()
    assert (clip.labels[0][:, :10] == 0).all() and clip.labels[0][:, 10:].all()


def test_composed_maps_equal_separate_ones_in_geometry():
    image, labels = picture()
    maps = [about_centre(rotation(30), (40, 60)), about_centre(scaling(0.8, 0.8), (40, 60))]
    once = Clip([image], [labels]).warp([maps[0]], (40, 60)).warp([maps[1]], (40, 60))
    direct = Clip([image], [labels]).warp([maps[0] @ maps[1]], (40, 60))
    inside = once.labels[0] > 0
    assert np.array_equal(once.labels[0], direct.labels[0])
    assert np.array_equal(once.images[0][inside], direct.images[0][inside])


def test_a_canvas_in_between_limits_what_is_seen():
    image, labels = picture()
    clip = Clip([image], [np.ones_like(labels)])
    clip.warp([translation(20, 10)], (20, 20)).warp([translation(-5, 0)], (20, 30))
    assert (clip.images[0][:, :5] == MEAN_COLOUR).all() and (clip.images[0][:, 25:] == MEAN_COLOUR).all()
    assert np.array_equal(clip.images[0][:, 6:24], image[10:30, 21:39])
    assert clip.labels[0][:, 6:24].all() and not clip.labels[0][:, 26:].any() and not clip.labels[0][:, :4].any()


def test_picture_and_mask_stay_together():
    image, labels = picture()
    matrix = about_centre(rotation(17) @ scaling(1.3, 0.9), (40, 60))
    clip = Clip([image], [labels], fill=(0, 0, 0)).warp([matrix], (40, 60))
    edge = cv2.morphologyEx(clip.labels[0], cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    assert np.array_equal((clip.images[0][..., 0] > 100)[~edge], clip.labels[0][~edge] > 0)


def test_shrinking_averages():
    image = np.zeros((64, 64, 3), np.uint8)
    image[::2] = 200
    matrix = about_centre(rotation(1), (64, 64)) @ scaling(4, 4)
    clip = Clip([image], [np.zeros((64, 64), np.uint8)]).warp([matrix], (16, 16))
    assert abs(clip.images[0][4:12, 4:12].astype(int) - 100).max() < 15


def test_reduced_pictures_are_brought_to_the_canvas():
    image, labels = picture()
    small = cv2.resize(image, (30, 20), interpolation=cv2.INTER_AREA)
    clip = Clip([small], [labels])
    assert clip.images[0].shape == (40, 60, 3)
    moved = Clip([small], [labels]).warp([translation(8, 4)], (30, 40))
    assert np.abs(moved.images[0].astype(int) - image[4:34, 8:48]).mean() < 6


def test_remap_composes_with_what_is_pending():
    image, labels = picture()
    grid = np.stack(np.meshgrid(np.arange(40) + 0.5, np.arange(30) + 0.5), -1)
    clip = Clip([image, image], [labels, labels]).warp([translation(10, 5)] * 2, (30, 40)).remap([grid, None])
    assert np.array_equal(clip.images[0], image[5:35, 10:50])
    assert np.array_equal(clip.images[1], image[5:35, 10:50])
    assert np.array_equal(clip.labels[0], labels[5:35, 10:50])


def test_sources_are_not_written_to():
    image, labels = picture()
    image.flags.writeable = labels.flags.writeable = False
    clip = Clip([image], [labels]).warp([translation(20, 10)], (20, 20)).warp([translation(-5, 0)], (20, 30))
    assert clip.images[0].shape == (20, 30, 3)


def test_refusals():
    image, labels = picture()
    with pytest.raises(DataError, match="1 images, 0 masks"):
        Clip([image], [])
    with pytest.raises(DataError, match="one size"):
        Clip([image, image], [labels, labels[:10]])
    clip = Clip([image], [labels])
    with pytest.raises(DataError, match="expected 1 pictures"):
        clip.images = [image[:3]]
