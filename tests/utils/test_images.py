import numpy as np
import pytest

from vosplug.utils.errors import DataError
from vosplug.utils.images import read_image, resize_image, write_image


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def test_png_keeps_every_value_and_the_order_of_channels(tmp_path, picture):
    write_image(tmp_path / "a.png", picture)
    assert np.array_equal(read_image(tmp_path / "a.png"), picture)


def test_jpeg_is_close(tmp_path):
    ramp = np.zeros((32, 32, 3), np.uint8)
    ramp[..., 0] = np.arange(32) * 8
    write_image(tmp_path / "a.jpg", ramp, quality=98)
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - ramp).mean() < 6


def test_grey_pictures_become_rgb(tmp_path, picture):
    from PIL import Image
    Image.fromarray(picture[..., 0]).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").shape == (20, 30, 3)


def test_missing(tmp_path):
    with pytest.raises(DataError, match="not found"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("content", [b"", b"not a picture"])
def test_no_picture(tmp_path, content):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(DataError, match="not a readable image"):
        read_image(tmp_path / "a.jpg")


def test_a_jpeg_that_is_cut_short_is_refused(tmp_path, picture):
    write_image(tmp_path / "a.jpg", picture)
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(data[:len(data) // 2])
    with pytest.raises(DataError, match="cut short"):
        read_image(tmp_path / "a.jpg")


def test_an_unknown_suffix_is_refused(tmp_path, picture):
    with pytest.raises(Exception, match="(?i)suffix|encod|writer|imencode"):
        write_image(tmp_path / "a.nothing", picture)


def test_a_picture_that_shrinks_is_averaged():
    ramp = np.tile(np.arange(0, 256, 4, dtype=np.uint8)[None, :, None], (64, 1, 3))
    assert abs(resize_image(ramp, (16, 16)).astype(int) - ramp[:16, 1::4]).max() <= 2  # means of blocks of 4 x 4
    assert resize_image(ramp, (128, 96)).shape == (128, 96, 3) and resize_image(ramp, (64, 64)) is ramp
