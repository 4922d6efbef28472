"""VOSPreprocessor: numbers, sizes, padding, and the way back."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vosplug.models import VOSPreprocessor
from vosplug.structures import ClipSample, Geometry
from vosplug.utils.errors import InputError
from vosplug.utils.images import resize_image
from vosplug.utils.masks import resize_labels


@pytest.mark.parametrize("size, pad", [
    ((480, 854), (5, 5, 0, 0)), ((33, 47), (0, 1, 7, 8)), ((17, 33), (7, 8, 7, 8)), ((32, 64), (0, 0, 0, 0)),
    ((1, 1), (7, 8, 7, 8)), ((31, 16), (0, 0, 0, 1))])
def test_padding_is_least_and_its_smaller_half_comes_first(size, pad):
    geometry = VOSPreprocessor().geometry(size)
    assert geometry.pad == pad and geometry.size == geometry.native == size
    padded, _ = VOSPreprocessor().frames(torch.zeros(1, 3, *size, dtype=torch.uint8))
    assert [s % 16 for s in padded.shape[-2:]] == [0, 0]


def test_normalisation_in_float64_is_exact():
    image = torch.arange(3 * 16 * 16).remainder(256).to(torch.uint8).view(1, 3, 16, 16)
    x, _ = VOSPreprocessor().double().frames(image)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    expected = (image.numpy().astype(np.float64) / 255 - mean[:, None, None]) / std[:, None, None]
    assert x.dtype == torch.float64 and np.abs(x.numpy() - expected).max() < 1e-14


def test_options_are_used():
    preprocessor = VOSPreprocessor(mean=(0, 0.5, 1), std=(1, 0.5, 2), divisor=4)
    x, geometry = preprocessor.frames(torch.full((1, 3, 4, 6), 255, dtype=torch.uint8))
    assert x.shape == (1, 3, 4, 8) and geometry.pad == (1, 1, 0, 0)
    assert x[0, :, 0, 1].tolist() == pytest.approx([1, 1, 0], abs=1e-6)


def test_normalised_numbers_come_back_to_0_to_255():
    """255 (mean + std x), channel by channel."""
    x = torch.tensor([1.0, 1.0, -0.5]).view(3, 1, 1).expand(3, 2, 5)
    back = VOSPreprocessor(mean=(0, 0.5, 0.75), std=(1, 0.25, 0.5)).denormalize(x)
    assert back.shape == (3, 2, 5) and back[:, 1, 4].tolist() == pytest.approx([255, 191.25, 127.5])


def test_padding_is_zero_after_normalisation():
    x, geometry = VOSPreprocessor().frames(torch.zeros(1, 3, 33, 47, dtype=torch.uint8))
    inside = torch.zeros(48, 48, dtype=torch.bool)
    inside[7:40, 0:47] = True
    assert (x[..., ~inside] == 0).all() and (x[..., inside] < -1).all() and geometry.size == (33, 47)


@pytest.mark.parametrize("size", [(33, 47), (32, 48), (5, 16)])
def test_restore_is_the_inverse(size):
    preprocessor = VOSPreprocessor()
    masks = torch.rand(2, 3, *size)
    padded = preprocessor.masks(masks, preprocessor.geometry(size), value=7)
    assert torch.equal(preprocessor.restore(padded, preprocessor.geometry(size)), masks)
    assert padded.sum() == pytest.approx(float(masks.sum()) + 7 * (padded.numel() - masks.numel()), rel=1e-5)


def test_pictures_and_masks_stay_aligned():
    preprocessor = VOSPreprocessor(mean=(0, 0, 0), std=(1 / 255, 1 / 255, 1 / 255))
    image = torch.randint(1, 256, (1, 3, 20, 30), dtype=torch.uint8)
    x, geometry = preprocessor.frames(image)
    assert torch.allclose(x[:, 0], preprocessor.masks(image[:, 0].float(), geometry))


@pytest.mark.parametrize("stacked", [False, True])
def test_training_batches(stacked):
    preprocessor = VOSPreprocessor()
    images = torch.randint(0, 256, (2, 3, 3, 20, 30), dtype=torch.uint8)
    labels = torch.ones(3, 20, 30, dtype=torch.uint8)
    samples = [ClipSample(labels, (0,), (5,)) for _ in range(2)]
    batch = preprocessor({"inputs": images if stacked else list(images), "data_samples": samples}, True)
    assert batch["inputs"].shape == (2, 3, 3, 32, 32)
    assert torch.equal(batch["inputs"][1, 2], preprocessor.frames(images[1, 2:3])[0][0])
    padded = batch["data_samples"][0]
    assert padded.labels.shape == (3, 32, 32) and padded.ids == (5,)
    assert (padded.labels == 255).sum() == 3 * (32 * 32 - 20 * 30) and labels.shape == (3, 20, 30)


def test_the_type_of_the_module_decides():
    assert VOSPreprocessor().to(torch.bfloat16).frames(torch.zeros(1, 3, 4, 4, dtype=torch.uint8))[0].dtype == (
        torch.bfloat16)
    assert not VOSPreprocessor().state_dict()  # nothing that a checkpoint of others would lack


@pytest.mark.parametrize("size, options, expected, network", [
    ((480, 854), dict(max_short_side=240), (240, 427), (240, 432)),
    ((480, 854), dict(max_short_side=720), (480, 854), (480, 864)),
    ((854, 480), dict(max_short_side=240, scale=1.5), (640, 360), (640, 368)),
    ((480, 854), dict(max_long_side=427), (240, 427), (240, 432)),
    ((854, 480), dict(max_long_side=427), (427, 240), (432, 240)),
    ((480, 854), dict(max_short_side=300, max_long_side=427), (240, 427), (240, 432)),
    ((100, 1000), dict(max_short_side=50, max_long_side=900), (50, 500), (64, 512)),
    ((5, 7), dict(scale=0.01), (1, 1), (16, 16))])
def test_sizes_are_limited_then_scaled(size, options, expected, network):
    geometry = VOSPreprocessor().geometry(size, **options)
    assert (geometry.native, geometry.size, geometry.network) == (size, expected, network)
    x, same = VOSPreprocessor().frames(torch.zeros(1, 3, *size, dtype=torch.uint8), geometry)
    assert x.shape[-2:] == network and same is geometry


def test_a_frame_is_not_made_smaller_for_a_network_that_sees_native_size_anyway():
    assert VOSPreprocessor().geometry((480, 640), max_short_side=475) == Geometry((480, 640), (480, 640))
    assert VOSPreprocessor().geometry((480, 640), max_short_side=460).size == (460, 613)


def test_frames_are_resized_by_area_and_masks_with_them():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (50, 80, 3), dtype=np.uint8) for _ in range(2)]
    preprocessor = VOSPreprocessor()
    geometry = preprocessor.geometry((50, 80), max_short_side=20)
    x, _ = preprocessor.frames(torch.stack([torch.from_numpy(i).permute(2, 0, 1) for i in images]), geometry)
    small = torch.stack([torch.from_numpy(resize_image(i, (20, 32))).permute(2, 0, 1) for i in images])
    assert torch.equal(x, F.pad(preprocessor.normalize(small), (0, 0, 6, 6)))
    assert torch.equal(x, preprocessor.frames(small, geometry)[0])  # what is resized already stays
    labels = rng.integers(0, 4, (50, 80), dtype=np.uint8)
    masks = preprocessor.masks(torch.from_numpy(labels), geometry, value=255)
    assert masks.dtype == torch.uint8 and (masks[:6] == 255).all() and (masks[26:] == 255).all()
    np.testing.assert_array_equal(masks[6:26], resize_labels(labels, (20, 32)))


def test_sizes_that_do_not_belong_to_the_video_are_refused():
    geometry = VOSPreprocessor().geometry((50, 80), max_short_side=20)
    with pytest.raises(InputError, match="frames are 50x81 .*, the video is 50x80"):
        VOSPreprocessor().frames(torch.zeros(1, 3, 50, 81), geometry)
    with pytest.raises(InputError, match="masks are 51x80 .*, the video is 50x80"):
        VOSPreprocessor().masks(torch.zeros(1, 51, 80), geometry)


def test_a_mask_that_would_vanish_keeps_what_it_touches():
    masks = torch.zeros(3, 200, 200)
    masks[0, 101, 101] = 1
    masks[1, 50:150, 50:150] = 1
    small = VOSPreprocessor(divisor=1).masks(masks, VOSPreprocessor(divisor=1).geometry((200, 200), scale=0.1))
    assert small[0].sum() == 1 and small[0, 10, 10] == 1 and small[1].sum() == 100 and small[2].sum() == 0
    labels = torch.where(masks[0] > 0, 7, 3 * masks[1].to(torch.uint8)).to(torch.uint8)
    labels = VOSPreprocessor(divisor=1).masks(labels, VOSPreprocessor(divisor=1).geometry((200, 200), scale=0.1))
    assert labels[10, 10] == 7 and (labels == 3).sum() == 99 and labels.dtype == torch.uint8


def test_restoring_a_resized_frame_interpolates_once():
    preprocessor = VOSPreprocessor()
    geometry = preprocessor.geometry((50, 80), max_short_side=20)
    x = torch.randn(2, 3, 32, 32)
    expected = F.interpolate(x[..., 6:26, :], size=(50, 80), mode="bilinear", align_corners=False)
    assert torch.equal(preprocessor.restore(x, geometry), expected)
    assert torch.equal(preprocessor.restore(x[0], geometry), expected[0])
    assert preprocessor.restore(expected, geometry) is expected


@pytest.mark.parametrize("stride", [2, 4])
@pytest.mark.parametrize("options", [{}, {"scale": 0.7}, {"max_short_side": 97}])
def test_coarser_logits_lie_where_the_padded_frame_was(stride, options):
    preprocessor = VOSPreprocessor()
    geometry = preprocessor.geometry((133, 201), **options)
    plane = torch.linspace(0, 1, 133)[:, None] + 2 * torch.linspace(0, 1, 201)  # bilinear interpolation keeps planes
    (top, left), (height, width) = geometry.pad[2::-2], geometry.network
    rows = ((torch.arange(height) + 0.5 - top) * 133 / geometry.size[0] - 0.5) / 132
    columns = ((torch.arange(width) + 0.5 - left) * 201 / geometry.size[1] - 0.5) / 200
    seen = (rows[:, None] + 2 * columns)[None, None]
    coarse = F.avg_pool2d(seen, stride)
    restored = preprocessor.restore(coarse, geometry)[0, 0]
    inside = (slice(6, -6), slice(6, -6))
    torch.testing.assert_close(restored[inside], plane[inside], atol=1e-4, rtol=0)


def test_absent_objects_stay_absent():
    preprocessor = VOSPreprocessor()
    logits = torch.randn(2, 3, 32, 32)
    logits[1, 2] = float("-inf")
    for geometry in (preprocessor.geometry((50, 80), max_short_side=20), preprocessor.geometry((118, 120))):
        restored = preprocessor.restore(logits, geometry)
        assert restored[1, 2].isneginf().all() and restored[1, :2].isfinite().all() and restored[0].isfinite().all()


def test_a_mirror_changes_the_sides_of_the_padding():
    geometry = VOSPreprocessor().geometry((33, 47))
    assert geometry.mirrored().pad == (1, 0, 7, 8) and geometry.mirrored().mirrored() == geometry
