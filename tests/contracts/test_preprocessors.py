"""What preprocessors must do."""

import pytest
import torch

from vosplug.registry import PREPROCESSORS

from .parts import cases


@pytest.mark.parametrize("part", cases(PREPROCESSORS))
@pytest.mark.parametrize("size", [(33, 47), (33, 49), (48, 32), (9, 70)])
@pytest.mark.parametrize("limits", [{}, {"max_short_side": 24}, {"max_long_side": 32, "scale": 1.5}], ids=str)
def test_preprocessors_lead_to_the_network_and_back(part, size, limits):
    preprocessor = part.build()
    geometry = preprocessor.geometry(size, **limits)
    assert geometry.native == size
    x, _ = preprocessor.frames(torch.full((1, 3, *size), 128, dtype=torch.uint8), geometry)
    masks = torch.zeros(1, 2, *size)
    masks[:, 0, 1:-1, 4:-4] = 1
    seen = preprocessor.masks(masks, geometry)
    assert x.shape[-2:] == seen.shape[-2:] == geometry.network and set(seen.unique().tolist()) == {0, 1}
    restored = preprocessor.restore(seen, geometry)
    assert restored.shape == masks.shape and ((restored > 0.5) == (masks > 0.5)).float().mean() > 0.85
    if geometry.size == size:
        assert torch.equal(restored, masks)
    for stride in (2, 4):  # the coarser size that a method may work at
        coarse = torch.ones(1, 2, *(-(-side // stride) for side in geometry.network))
        coarse = preprocessor.restore(coarse, geometry)
        assert coarse.shape == masks.shape and torch.allclose(coarse, torch.ones(()))


@pytest.mark.parametrize("part", cases(PREPROCESSORS))
@pytest.mark.parametrize("options", [{"max_short_side": 96}, {"max_long_side": 128}, {"scale": 0.5}], ids=str)
@pytest.mark.parametrize("native, wanted", [((192, 256), (96, 128)), ((256, 192), (128, 96))])
def test_preprocessors_keep_limits_and_scales(part, options, native, wanted):
    size = part.build().geometry(native, **options).size
    assert max(abs(side - other) for side, other in zip(size, wanted, strict=True)) <= 1
