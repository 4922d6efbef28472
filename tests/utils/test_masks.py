import io

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays
from PIL import Image

from vosplug.utils.errors import DataError, InputError
from vosplug.utils.masks import DAVIS_PALETTE, encode_mask, object_ids, read_mask, resize_labels, write_mask


def save(path, array, mode):
    image = Image.fromarray(array) if mode == "I;16" else Image.fromarray(array).convert(mode)
    image.save(path)
    return path


@given(arrays(np.uint8, (5, 7)))
def test_ids_survive_encoding(labels):
    image = Image.open(io.BytesIO(encode_mask(labels)))
    assert image.mode == "P"
    assert np.array_equal(np.array(image), labels)


def test_write_and_read(tmp_path):
    labels = np.array([[0, 1, 254, 255]], np.uint8)
    write_mask(tmp_path / "m.png", labels)
    assert np.array_equal(read_mask(tmp_path / "m.png"), labels)
    assert object_ids(labels) == [1, 254]


def test_palette_starts_as_davis_does():
    assert DAVIS_PALETTE[:5].tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128]]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "CMYK"])
def test_colour_is_refused(tmp_path, mode):
    suffix = "tif" if mode == "CMYK" else "png"
    path = save(tmp_path / f"m.{suffix}", np.zeros((4, 4), np.uint8), mode)
    with pytest.raises(DataError, match=f"this is a {mode} picture"):
        read_mask(path)


def test_sixteen_bits_are_refused(tmp_path):
    path = save(tmp_path / "m.png", np.full((4, 4), 300, np.uint16), "I;16")
    with pytest.raises(DataError, match="8 bits"):
        read_mask(path)


def test_a_smoothed_mask_is_refused(tmp_path):
    path = save(tmp_path / "m.png", np.arange(64, dtype=np.uint8).reshape(8, 8), "L")
    with pytest.raises(DataError, match="64 different values looks smoothed"):
        read_mask(path)


def slivers() -> np.ndarray:
    """Object 3 within a rim of object 2, as a network may predict them; so would resizing 0 and 3 by interpolation."""
    labels = np.zeros((40, 40), np.uint8)
    labels[2:12, 2:12] = 1
    labels[19:24, 19:24] = 2
    labels[20:23, 20:23] = 3
    return labels


def test_a_prediction_of_known_ids_may_have_slivers(tmp_path):
    write_mask(tmp_path / "m.png", slivers())
    with pytest.raises(DataError, match="looks smoothed"):
        read_mask(tmp_path / "m.png")
    assert np.array_equal(read_mask(tmp_path / "m.png", ids=(1, 2, 3)), slivers())
    with pytest.raises(DataError, match="looks smoothed"):
        read_mask(tmp_path / "m.png", ids=(1, 3))


def test_ids_above_the_limit_are_refused(tmp_path):
    write_mask(tmp_path / "m.png", np.array([[0, 9]], np.uint8))
    with pytest.raises(DataError, match="id 9 is above the limit 4"):
        read_mask(tmp_path / "m.png", max_id=4)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="not found"):
        read_mask(tmp_path / "m.png")


def test_a_file_that_is_no_picture_is_refused(tmp_path):
    (tmp_path / "m.png").write_bytes(b"hello")
    with pytest.raises(DataError, match="not a readable image"):
        read_mask(tmp_path / "m.png")


def test_a_truncated_file_is_refused(tmp_path):
    data = encode_mask(np.random.default_rng(0).integers(0, 30, (64, 64)))
    (tmp_path / "m.png").write_bytes(data[:-len(data) // 3])
    with pytest.raises(DataError, match="not a readable image"):
        read_mask(tmp_path / "m.png")


@pytest.mark.parametrize(("values", "expected"), [([0, 255], [0, 1]), ([0, 1], [0, 1]), ([100, 140], [0, 1])])
def test_binary_masks(tmp_path, values, expected):
    path = save(tmp_path / "m.png", np.array([values], np.uint8), "L")
    assert read_mask(path, binary=True).tolist() == [expected]


def test_a_binary_mask_of_ids_counts_every_id(tmp_path):
    write_mask(tmp_path / "m.png", np.array([[0, 1, 2]], np.uint8))
    assert read_mask(tmp_path / "m.png", binary=True).tolist() == [[0, 1, 1]]


@pytest.mark.parametrize("labels", [np.zeros((2, 2, 3), np.uint8), np.array([[256]]), np.array([[-1]])])
def test_what_is_no_mask_is_not_encoded(labels):
    with pytest.raises(InputError):
        encode_mask(labels)


@pytest.mark.parametrize("size", [(240, 427), (353, 641), (480, 854), (17, 17), (600, 1001)])
def test_labels_are_resized_as_opencv_does(size):
    labels = np.random.default_rng(0).integers(0, 256, (480, 854), dtype=np.uint8)
    np.testing.assert_array_equal(resize_labels(labels, size),
                                  cv2.resize(labels, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT))
