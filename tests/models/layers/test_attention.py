"""Attention over tokens, and to a window: against dense attention with a mask."""

import pytest
import torch

from vosplug.models.layers import attention
from vosplug.models.layers.attention import SelfAttention, attend
from vosplug.models.layers.propagation import ShortTermAttention
from vosplug.models.layers.window_attention import offsets_between, spans, window_attention
from vosplug.utils.errors import ConfigError


def dense(query, keys, values):
    """softmax(Q K^T / sqrt(D)) V of one long memory."""
    scores = query @ torch.cat(keys, dim=2).transpose(-1, -2) / query.shape[-1] ** 0.5
    return scores.softmax(dim=-1) @ torch.cat(values, dim=2)


@pytest.mark.parametrize("lengths", [(7,), (7, 3), (1, 5, 2)])
def test_frames_are_read_as_one_memory(lengths):
    torch.manual_seed(0)
    query = torch.randn(2, 3, 5, 4, dtype=torch.float64)
    keys, wide, narrow = ([torch.randn(2, 3, n, c, dtype=torch.float64) for n in lengths] for c in (4, 6, 4))
    for values in (wide, narrow):  # torch's fused attention wants values of the width of keys
        assert torch.allclose(attend(query, keys, values), dense(query, keys, values), atol=1e-12)


def test_queries_come_in_chunks_outside_training(monkeypatch):
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, 2, n, c, dtype=torch.float64) for n, c in ((11, 4), (9, 4), (9, 6)))
    seen = []
    scores_of = attention.scores_of
    monkeypatch.setattr(attention, "scores_of", lambda q, k: seen.append(q.shape[2]) or scores_of(q, k))
    monkeypatch.setattr(attention, "MAX_SCORES", 2 * 9 * 4)
    with torch.no_grad():
        chunked = attend(query, [key], [value])
    assert seen == [4, 4, 3]
    assert torch.allclose(chunked, dense(query, [key], [value]), atol=1e-12)
    attend(query, [key], [value])
    assert seen[3:] == [11]


def test_scores_are_at_least_float32():
    query, key = torch.randn(1, 1, 2, 4).bfloat16(), torch.randn(1, 1, 3, 4).bfloat16()
    assert attention.scores_of(query, key).dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert attention.scores_of(query.float(), key.float()).dtype == torch.float32
    assert attention.scores_of(query.double(), key.double()).dtype == torch.float64
    assert attend(query, [key], [key]).dtype == torch.bfloat16


def test_positions_act_on_queries_and_keys_only():
    torch.manual_seed(0)
    layer = SelfAttention(8, 2).double()
    x, place = torch.randn(1, 5, 8, dtype=torch.float64), torch.randn(5, 8, dtype=torch.float64)
    query, key, value = layer.query(x + place), layer.key(x + place), layer.value(x)
    heads = [t.view(1, 5, 2, 4).transpose(1, 2) for t in (query, key, value)]
    expected = dense(heads[0], [heads[1]], [heads[2]]).transpose(1, 2).reshape(1, 5, 8)
    assert torch.allclose(layer(x, place), layer.out(expected), atol=1e-12)


def dense_window(query, key, value, bias, offset_values, radius):
    """The same by a mask over all pairs, offset by offset."""
    height, width = query.shape[2:4]
    out = torch.zeros(*query.shape[:-1], value.shape[-1], dtype=query.dtype)
    side = 2 * radius + 1
    for y in range(height):
        for x in range(width):
            scores, vectors = [], []
            for dy in range(-radius, radius + 1):
                for dx in range(-radius, radius + 1):
                    if 0 <= y + dy < height and 0 <= x + dx < width:
                        place = (dy + radius) * side + dx + radius
                        dot = (query[:, :, y, x] * key[:, :, y + dy, x + dx]).sum(-1) / query.shape[-1] ** 0.5
                        scores.append(dot + bias[:, :, y, x, place])
                        extra = 0 if offset_values is None else offset_values[..., place]
                        vectors.append(value[:, :, y + dy, x + dx] + extra)
            weights = torch.stack(scores, dim=-1).softmax(dim=-1)
            out[:, :, y, x] = (weights[..., None] * torch.stack(vectors, dim=2)).sum(dim=2)
    return out


SIZES = [(5, 7), (3, 2), (1, 1), (1, 9), (8, 1), (6, 6), (9, 20)]  # of one tile and of several


def window_case(size, radius, dtype=torch.float64, heads=2):
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, heads, *size, c, dtype=dtype) for c in (4, 4, 6))
    bias = torch.randn(2, heads, *size, (2 * radius + 1) ** 2, dtype=dtype)
    return query, key, value, bias, torch.randn(heads, 6, (2 * radius + 1) ** 2, dtype=dtype)


@pytest.mark.parametrize("vectors", [False, True])
@pytest.mark.parametrize("radius", [0, 1, 2, 7])
@pytest.mark.parametrize("size", SIZES)
def test_a_window_sees_what_a_mask_over_all_pairs_leaves(size, radius, vectors):
    *case, extra = window_case(size, radius)
    extra = extra if vectors else None
    ours = window_attention(*case, extra)
    assert torch.allclose(ours, dense_window(*case, extra, radius), atol=1e-12)


def test_a_window_has_gradients():
    case = [t[:1].requires_grad_() for t in window_case((3, 4), 1, heads=1)]
    assert torch.autograd.gradcheck(window_attention, case)


def test_every_key_is_at_a_place_of_the_window_or_outside():
    places = offsets_between(((2, 4), (0, 2)), ((1, 5), (0, 4)), 1, torch.device("cpu"))
    assert places.shape == (4, 16) and places.dtype == torch.int64
    for number, (y, x) in enumerate((y, x) for y in (2, 3) for x in (0, 1)):
        for other, (ky, kx) in enumerate((ky, kx) for ky in range(1, 5) for kx in range(4)):
            inside = abs(ky - y) <= 1 and abs(kx - x) <= 1
            assert places[number, other] == ((ky - y + 1) * 3 + kx - x + 1 if inside else 9)


@pytest.mark.parametrize("length, most, expected", [
    (1, 8, [(0, 1)]), (8, 8, [(0, 8)]), (9, 8, [(0, 4), (4, 9)]), (31, 8, [(0, 7), (7, 15), (15, 23), (23, 31)])])
def test_spans_cover_a_length_once(length, most, expected):
    assert spans(length, most) == expected


def test_half_precision_and_odd_windows():
    case = window_case((5, 4), 2, torch.float32)
    exact = window_attention(*case)
    half = window_attention(*(t.bfloat16() for t in case))
    assert half.dtype == torch.bfloat16 and torch.isfinite(half).all()
    assert (half.float() - exact).abs().max() < 0.1
    with pytest.raises(ConfigError, match=r"a window has \(2r\+1\)\^2 places, got 24"):
        window_attention(*case[:3], case[3][..., :24])


def test_no_map_of_all_pairs_is_made():
    """At 480p the largest tensor in the graph holds one row of queries against 15 rows of keys."""
    layer = ShortTermAttention(8, 1, 7)
    size = (31, 54)
    x = torch.randn(1, size[0] * size[1], 8)
    largest = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            largest.extend(t.numel() for t in (out if isinstance(out, (tuple, list)) else [out])
                           if isinstance(t, torch.Tensor))
            return out

    with Watch(), torch.no_grad():
        layer(x, x, x, size)
    assert max(largest) <= 225 * size[0] * size[1] < (size[0] * size[1]) ** 2 / 7


def test_short_term_attention_compiles_in_one_graph():
    layer = ShortTermAttention(8, 2, 2, value_channels=8).eval()
    x = torch.randn(2, 12, 8)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        assert torch.allclose(compiled(x, x + 1, x - 1, (3, 4)), layer(x, x + 1, x - 1, (3, 4)), atol=1e-6)
