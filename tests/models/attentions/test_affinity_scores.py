"""Scores of object affinity, by hand: one row of two cells, two frames."""

import math

import pytest
import torch

from vosplug.models.attentions import DenseAttention
from vosplug.models.attentions.affinity_scores import SCORES

SLOTS = torch.tensor([[[[0, 1]], [[0, 0]]]])  # of the earlier frame, one cell of each slot
KEYS = [(3.0, 4.0), (1.0, 0.0)]  # of the earlier frame's cells
QUERIES = [(1.0, 2.0), (0.0, -2.0)]


def score(name):
    """(S, w) affinity of the current frame's two cells and the two slots."""
    earlier, current = (torch.tensor(x).T[:, None] for x in (KEYS, QUERIES))
    k = torch.stack([earlier, current], dim=1)[None]  # (1, 2, T, 1, 2)
    q, part, attention = k[:, :, -1:], SCORES[name](), DenseAttention()
    asked = dict(heads=1, causal=True, slots=SLOTS, count=2)
    attended = attention(q, k, k, query_frames=1, affinity_frames=1, clamp=part.clamp, with_lse=part.with_lse, **asked)
    return part, part(attended, attention, q, k, **asked).squeeze()


def table(function):
    return [pytest.approx([function(q, k) for q in QUERIES], abs=1e-5) for k in KEYS]


def dot(q, k):
    return sum(a * b for a, b in zip(q, k, strict=True))


def test_dot():
    assert score("dot")[1].tolist() == table(lambda q, k: max(0.0, dot(q, k)))


def test_softmax():
    def weight(q, k):
        return math.exp(dot(q, k)) / sum(math.exp(dot(q, other)) for other in (*KEYS, *QUERIES))

    assert score("softmax")[1].tolist() == table(weight)


def test_cosine():
    assert score("cosine")[1].tolist() == table(lambda q, k: dot(q, k) / math.hypot(*q) / math.hypot(*k))


def test_distance():
    def distance(q, k):
        return 2 / (1 + math.exp(-sum((a - b) ** 2 for a, b in zip(q, k, strict=True)))) - 1

    part, found = score("distance")
    assert found.tolist() == table(distance)
    assert [part.best(torch.tensor([1.0, 2.0]), dim=0).item(), SCORES["cosine"].best(torch.tensor([1.0, 2.0]),
                                                                                     dim=0).item()] == [1, 2]
