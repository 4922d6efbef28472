"""RoIAlign: equal to what torchvision and mmcv compute, forwards and backwards."""

import importlib

import pytest
import torch

from vosplug.models.tracklets.roi_align import roi_align

ROIS = torch.tensor([
    [0, 3.0, 5.0, 30.5, 41.0],      # inside
    [1, -20.0, -9.0, 25.0, 18.0],   # over the edge
    [1, 10.0, 10.0, 10.0, 10.0],    # empty
    [0, 40.0, 8.0, 90.0, 200.0],    # over the other edge
    [0, -50.0, -50.0, -20.0, -30.0],  # outside
    [1, 7.3, 2.2, 8.1, 50.0],       # a strip
])


def of_mmcv(features, rois, size, scale, ratio):
    return importlib.import_module("mmcv.ops").roi_align(features, rois, (size, size), scale, ratio, "avg", True)


def of_torchvision(features, rois, size, scale, ratio):
    ops = importlib.import_module("torchvision.ops")
    return ops.roi_align(features, rois, (size, size), scale, ratio, aligned=True)


@pytest.fixture(params=[("mmcv.ops", of_mmcv), ("torchvision.ops", of_torchvision)], ids=["mmcv", "torchvision"])
def other(request):
    module, function = request.param
    try:
        importlib.import_module(module)
    except Exception as error:  # a build for another torch fails in its own way
        pytest.skip(f"{module} cannot be imported ({type(error).__name__})")
    return function


@pytest.mark.parametrize("ratio", [0, 1, 2, 3])
@pytest.mark.parametrize("size", [1, 7])
@pytest.mark.parametrize("scale", [1.0, 0.25, 0.0625])
def test_it_equals_the_compiled_operators(other, scale, size, ratio):
    features = torch.randn(2, 5, round(64 * scale) + 1, round(80 * scale), generator=torch.Generator().manual_seed(0))
    features = features.to(memory_format=torch.channels_last)
    ours, theirs = features.clone().requires_grad_(), features.contiguous().requires_grad_()
    a, b = roi_align(ours, ROIS, size, scale, ratio), other(theirs, ROIS, size, scale, ratio)
    assert torch.allclose(a, b, atol=2e-5)
    weights = torch.randn(b.shape, generator=torch.Generator().manual_seed(1))
    (a * weights).sum().backward()
    (b * weights).sum().backward()
    assert torch.allclose(ours.grad, theirs.grad, atol=2e-5)


@pytest.mark.parametrize("ratio", [0, 2])
def test_means_of_samples_one_by_one(ratio):
    """Against the definition, sample by sample, in float64."""
    features = torch.randn(2, 3, 9, 11, dtype=torch.float64)
    size, scale = 3, 0.25
    got = roi_align(features, ROIS, size, scale, ratio)
    for number, (index, x1, y1, x2, y2) in enumerate(ROIS.double().tolist()):
        left, top = x1 * scale - 0.5, y1 * scale - 0.5
        cell = (x2 - x1) * scale / size, (y2 - y1) * scale / size
        count = [ratio or int(-(-side // 1)) for side in cell]
        for i in range(size):
            for j in range(size):
                samples = [bilinear(features[int(index)], top + (i + (u + 0.5) / count[1]) * cell[1],
                                    left + (j + (v + 0.5) / count[0]) * cell[0])
                           for u in range(count[1]) for v in range(count[0])]
                expected = sum(samples) / max(1, len(samples))
                assert torch.allclose(got[number, :, i, j], torch.as_tensor(expected, dtype=torch.float64))


def bilinear(image, y, x):
    """(C, h, w) at a point; nothing more than a pixel outside, and the edge within that."""
    height, width = image.shape[1:]
    if not (-1 <= y <= height and -1 <= x <= width):
        return image.new_zeros(len(image))
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    low, left = int(y), int(x)
    high, right = min(low + 1, height - 1), min(left + 1, width - 1)
    upper, further = y - low, x - left
    return ((1 - upper) * ((1 - further) * image[:, low, left] + further * image[:, low, right])
            + upper * ((1 - further) * image[:, high, left] + further * image[:, high, right]))


def test_no_rois_and_half_precision():
    features = torch.randn(1, 4, 6, 6)
    assert roi_align(features, torch.zeros(0, 5), 7, 1.0, 2).shape == (0, 4, 7, 7)
    whole = torch.tensor([[0, 0.0, 0.0, 6.0, 6.0]])
    half = roi_align(features.bfloat16(), whole, 3, 1.0, 2)
    assert half.dtype == torch.bfloat16
    assert torch.allclose(half.float(), roi_align(features, whole, 3, 1.0, 2), atol=2e-2)
