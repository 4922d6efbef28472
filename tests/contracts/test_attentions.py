"""What spatiotemporal attentions must do."""

import pytest
import torch

from vosplug.registry import ATTENTIONS

from .parts import cases


@pytest.mark.parametrize("part", cases(ATTENTIONS))
@pytest.mark.parametrize("size", [(3, 4, 5), (1, 4, 1), (2, 1, 5)])
def test_attentions_give_means_of_what_cells_see_and_count_it(part, size):
    attention = part.build()
    q, k = torch.randn(2, 1, 8, *size)
    assert torch.allclose(attention(q, k, torch.ones(1, 4, *size), heads=2).out, torch.ones(()), atol=1e-5)
    eye = torch.eye(size[0] * size[1] * size[2]).view(1, -1, *size)
    values = torch.cat([eye, eye], dim=1)  # both heads: what the weights are of
    seen = attention(0.01 * q, k, values, heads=2).out[0] > 0
    assert int(seen.sum()) == 2 * attention.pairs(size)
    last = attention(0.01 * q[:, :, -1:], k, values, heads=2, query_frames=1, causal=True).out[0] > 0
    assert int(last.sum()) == 2 * attention.pairs(size, causal=True, query_frames=1)
