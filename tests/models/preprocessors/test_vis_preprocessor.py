"""VISPreprocessor: sizes and padding."""

import pytest
import torch

from vosplug.models import VISPreprocessor


@pytest.mark.parametrize("size, options, expected, network", [
    ((480, 854), dict(fit=(360, 640)), (360, 640), (384, 640)),
    ((854, 480), dict(fit=(360, 640)), (360, 202), (384, 224)),
    ((90, 160), dict(fit=(360, 640)), (360, 640), (384, 640)),
    ((480, 854), {}, (480, 854), (480, 864)),
    ((480, 854), dict(fit=(360, 640), max_long_side=320), (180, 320), (192, 320)),
    ((480, 854), dict(fit=(360, 640), max_short_side=90, scale=2), (180, 320), (192, 320))])
def test_frames_fit_into_a_size_and_keep_their_ratio(size, options, expected, network):
    geometry = VISPreprocessor(divisor=32).geometry(size, **options)
    assert (geometry.native, geometry.size, geometry.network) == (size, expected, network)
    assert geometry.pad == (0, network[1] - expected[1], 0, network[0] - expected[0])


def test_what_is_padded_comes_back():
    preprocessor = VISPreprocessor(divisor=32)
    x, geometry = preprocessor.frames(torch.full((2, 3, 33, 47), 9, dtype=torch.uint8))
    assert (x[..., 33:, :] == 0).all() and (x[..., 47:] == 0).all() and (x[..., :33, :47] != 0).all()
    assert torch.equal(preprocessor.restore(x, geometry), x[..., :33, :47])
