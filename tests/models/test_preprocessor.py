"""VOSPreprocessor: numbers, padding, and its inverse."""

import numpy as np
import pytest
import torch

from vosplug.models import VOSPreprocessor
from vosplug.structures import ClipSample


@pytest.mark.parametrize("size, pad", [
    ((480, 854), (5, 5, 0, 0)), ((33, 47), (0, 1, 7, 8)), ((17, 33), (7, 8, 7, 8)), ((32, 64), (0, 0, 0, 0)),
    ((1, 1), (7, 8, 7, 8)), ((31, 16), (0, 0, 0, 1))])
def test_padding_is_least_and_its_smaller_half_comes_first(size, pad):
    geometry = VOSPreprocessor().geometry(size)
    assert geometry.pad == pad and geometry.size == size
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
