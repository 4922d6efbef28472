"""The head of FRTM's segmentation network."""

import pytest
import torch

from vosplug.models.decoders.refiner import UPSAMPLING, RefinerHead


@pytest.mark.parametrize("upsampling", UPSAMPLING)
@pytest.mark.parametrize("size", [(48, 56), (45, 53)])
def test_channels_that_are_mixed_before_they_grow_give_the_same(upsampling, size):
    torch.manual_seed(0)
    head, x = RefinerHead(40, upsampling).eval(), torch.randn(2, 40, 12, 14)
    as_written = head(x, size)
    with torch.no_grad():
        assert torch.allclose(head(x, size), as_written, atol=1e-5)
        assert torch.equal(head.double()(x.double(), size), head(x.double(), size))
    head.float()
    for border in (as_written[..., 0, :], as_written[..., -1], as_written[..., -1, -1]):
        assert border.abs().sum() > 0
