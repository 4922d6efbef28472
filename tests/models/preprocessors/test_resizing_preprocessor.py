"""ResizingPreprocessor: the sizes and pictures of the reference, masks, and the way back."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vosplug.models import ResizingPreprocessor
from vosplug.structures import ClipSample
from vosplug.utils.errors import ConfigError, InputError


def golden(shared):
    """Manifest, arrays and inputs of the reference."""
    folder = shared / "golden"
    manifest = json.loads((folder / "aot_preprocess.json").read_text())
    return manifest, np.load(folder / "aot_preprocess.npz"), np.load(folder / f"{manifest['inputs']['file']}.npz")


def test_sizes_of_the_reference(shared):
    rows = golden(shared)[0]["sizes"]
    assert len(rows) == 78 and any(row["input"][0] > row["input"][1] for row in rows)
    for row in rows:
        preprocessor = ResizingPreprocessor(align_corners=row["align_corners"])
        geometry = preprocessor.geometry(tuple(row["input"]), scale=row["scale"], max_short_side=row["max_short_edge"],
                                         max_long_side=row["max_long_edge"])
        assert list(geometry.size) == row["output"], row
        assert geometry.network == geometry.size and list(geometry.native) == row["input"]


def test_the_picture_of_the_reference(shared):
    manifest, arrays, inputs = golden(shared)
    image = torch.from_numpy(inputs["frames"][:1]).permute(0, 3, 1, 2)
    preprocessor = ResizingPreprocessor()
    geometry = preprocessor.geometry((240, 427))
    resized = preprocessor.resize(image, geometry)
    assert resized.dtype == torch.float32 and resized.shape[-2:] == geometry.size == (241, 433)
    found = resized[0, :, ::4, ::4].permute(1, 2, 0).numpy()
    assert np.abs(found - arrays["resized"]).max() <= manifest["tolerance"]["float32"]["max_abs"]
    assert found.min() < -5 and found.max() > 260  # bicubic numbers are not clipped
    assert torch.equal(preprocessor.frames(image)[0], preprocessor.normalize(resized))
    exact = preprocessor.double().resize(image.double(), geometry)
    assert exact.dtype == torch.float64 and (exact - resized).abs().max() < 0.01


def test_masks_take_the_pixel_at_the_floor():
    labels = torch.arange(48 * 60).reshape(48, 60)
    geometry = ResizingPreprocessor().geometry((48, 60))
    assert geometry.size == (49, 65)
    small = ResizingPreprocessor().masks(labels, geometry)
    rows, columns = (torch.arange(n) * m // n for n, m in ((49, 48), (65, 60)))
    assert small.dtype == torch.int64 and torch.equal(small, labels[rows[:, None], columns])
    assert torch.equal(small, F.interpolate(labels[None, None].double(), size=(49, 65))[0, 0].long())


@pytest.mark.parametrize("native", [(8, 8), (1, 40), (16, 17), (100, 101), (481, 849), (1280, 720), (1100, 1940)])
def test_everything_comes_back_at_native_size(native):
    preprocessor = ResizingPreprocessor()
    geometry = preprocessor.geometry(native, max_long_side=1040)
    assert all(side >= 17 and side % 16 == 1 for side in geometry.size)
    for stride in (1, 4, 16):
        coarse = torch.stack(torch.meshgrid(*(torch.linspace(0, 1, (side - 1) // stride + 1) for side in geometry.size),
                                            indexing="ij"))[None]
        restored = preprocessor.restore(coarse, geometry)
        expected = torch.stack(torch.meshgrid(*(torch.linspace(0, 1, side) for side in native), indexing="ij"))[None]
        torch.testing.assert_close(restored, expected, atol=1e-4, rtol=0)  # corners stay in place at every resolution


def test_what_has_the_size_already_is_only_normalised():
    preprocessor = ResizingPreprocessor()
    image = torch.randint(0, 256, (2, 3, 33, 49), dtype=torch.uint8)
    x, geometry = preprocessor.frames(image)
    masks = torch.rand(2, 2, 33, 49)
    assert torch.equal(x, preprocessor.normalize(image)) and torch.equal(preprocessor.masks(masks, geometry), masks)
    assert torch.equal(preprocessor.restore(masks, geometry), masks)


def test_training_batches_are_resized_with_their_labels():
    preprocessor = ResizingPreprocessor()
    images = torch.randint(0, 256, (2, 3, 3, 20, 30), dtype=torch.uint8)
    labels = torch.zeros(3, 20, 30, dtype=torch.uint8)
    labels[:, 5:15, 10:20] = 2
    labels[:, 6, 25] = 1  # row 6 of 20 is not among those that are taken
    batch = preprocessor({"inputs": list(images), "data_samples": [ClipSample(labels, (0, 0), (4, 7))] * 2}, True)
    assert batch["inputs"].shape == (2, 3, 3, 17, 33)
    assert torch.equal(batch["inputs"][1], preprocessor.frames(images[1])[0])
    found = batch["data_samples"][0].labels
    assert found.shape == (3, 17, 33) and found.unique().tolist() == [0, 1, 2]


@pytest.mark.parametrize("options", [{"max_short_side": 16}, {"max_long_side": 16}])
def test_limits_below_the_least_size_are_refused(options):
    with pytest.raises(InputError, match=r"max_\w+_side must be at least 17 pixels for this method, got 16"):
        ResizingPreprocessor().geometry((480, 854), **options)
    assert ResizingPreprocessor(align_corners=False).geometry((480, 854), **options).size[0] == 16


@pytest.mark.parametrize("divisor", [0, -16, 2.5, True])
def test_bad_divisors(divisor):
    with pytest.raises(ConfigError, match="whole number"):
        ResizingPreprocessor(divisor=divisor)
