"""Bias by distance."""

import pytest
import torch

from tests.models.matching_heads.helpers import GRID, LENGTH, SAME, memory_of, naive, pairs_of, query_of
from vosplug.models.matching_heads import L2Matching, LocalityPrior


def bias(frame, previous, older):
    """The formula: minus lambda times the squared distance in cells."""

    def of(entry, token, place):
        if entry.grid != GRID:
            return 0.0
        (y, x), (v, u) = divmod(place, GRID[1]), divmod(token, GRID[1])
        return -(previous if entry.frame == frame - 1 else older) * ((y - v) ** 2 + (x - u) ** 2)

    return of


@pytest.mark.parametrize("top_k", [None, 4])
def test_it_is_added_to_the_similarity(top_k):
    memory, query, pairs = memory_of(SAME), query_of(), pairs_of([[True, True]])
    head = L2Matching(top_k=top_k, prior=dict(type="LocalityPrior", previous=0.7, older=0.2)).eval()
    expected = naive(query, memory, pairs, top_k, bias(3, 0.7, 0.2))
    assert torch.allclose(head(query, memory, pairs, 3), expected, atol=1e-6)


def test_tokens_without_a_grid_get_none():
    memory = memory_of(SAME, grids=[GRID, None, (3, 2)])
    query, pairs = query_of(), pairs_of([[True, True]])
    head = L2Matching(prior=dict(type="LocalityPrior", previous=0.5, older=0.3))
    assert torch.allclose(head(query, memory, pairs, 5), naive(query, memory, pairs, bias=bias(5, 0.5, 0.3)),
                          atol=1e-6)


def test_factors_multiply_to_the_formula():
    memory = memory_of(SAME)
    prior = LocalityPrior(previous=0.02, older=0.002)
    rows, columns = prior(list(memory), GRID, 3, torch.device("cpu"))
    of = bias(3, 0.02, 0.002)
    expected = [[of(e, n, place) for e in memory for n in range(LENGTH)] for place in range(LENGTH)]
    assert torch.allclose(rows @ columns, torch.tensor(expected), atol=1e-6)


def test_both_lambdas_learn():
    head = L2Matching(prior=dict(type="LocalityPrior")).double()
    memory, query, pairs = memory_of(SAME), query_of(), pairs_of([[True, True]])

    def total():
        return head(query, memory, pairs, 3).square().sum()

    total().backward()
    for parameter in (head.prior.log_previous, head.prior.log_older):
        start, step = parameter.detach().clone(), 1e-3
        with torch.no_grad():
            high, low = (parameter.copy_(start + d) is not None and float(total()) for d in (step, -step))
            parameter.copy_(start)
        assert abs(float(parameter.grad)) > 1e-6
        assert float(parameter.grad) == pytest.approx((high - low) / (2 * step), rel=1e-2)
