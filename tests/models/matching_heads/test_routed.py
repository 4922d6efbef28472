"""Routed matching against products of whole attention matrices, and along a known shift."""

import pytest
import torch

from tests.contracts.helpers import CONFIGS, boxes, build_model, random_frames, track
from tests.contracts.parts import rows_of
from vosplug.models.matching_heads import RoutedMatching
from vosplug.models.memories import FrameBank, MemoryEntry
from vosplug.utils.configs import load_config
from vosplug.utils.errors import ConfigError, InputError

GRID = (5, 6)
CELLS = GRID[0] * GRID[1]


def memory_with(keys, values, grid=GRID, valid=None):
    """A memory of T frames: keys (T, 1, C, N), values (T, 1, O, Cv, N)."""
    memory = FrameBank(every=1, max_frames=None, max_tokens=None).new()
    for frame, (key, value) in enumerate(zip(keys, values, strict=True)):
        known = torch.ones(1, value.shape[1], dtype=torch.bool) if valid is None else valid[frame]
        memory.add(MemoryEntry(frame, {"key": key}, {"value": value}, valid=known, grid=grid))
    return memory


def sees(p, r):
    """Whether grid attention lets cell p see cell r, both (t, y, x)."""
    return sum(a == b for a, b in zip(p, r, strict=True)) >= 2


@pytest.mark.parametrize("similarity", ["l2", "dot"])
def test_it_is_a_product_of_attention_matrices_over_its_mass(similarity):
    torch.manual_seed(0)
    keys = torch.randn(3, 1, 4, CELLS, dtype=torch.float64)
    values = torch.randn(2, 1, 2, 3, CELLS, dtype=torch.float64)
    head = RoutedMatching(similarity=similarity)
    out = head(keys[2].unflatten(2, GRID), memory_with(keys[:2], values), rows_of([[True, True]]), 2)
    cells = [(t, y, x) for t in range(3) for y in range(GRID[0]) for x in range(GRID[1])]
    flat = keys[:, 0].transpose(1, 2).flatten(0, 1)
    scores = flat @ flat.t() if similarity == "dot" else -torch.cdist(flat, flat).square()
    seen = torch.tensor([[sees(p, r) for r in cells] for p in cells])
    attention = (scores / 2).masked_fill(~seen, float("-inf")).softmax(dim=1)
    routes = (attention @ attention @ attention)[-CELLS:, :-CELLS]  # from the current frame to the memory
    for slot in range(2):
        start = values[:, 0, slot].transpose(1, 2).flatten(0, 1)
        want = (routes @ start) / routes.sum(dim=1, keepdim=True)
        assert torch.allclose(out[slot].flatten(1).t(), want, atol=1e-10)


def test_a_mask_is_recovered_along_a_known_shift():
    """Two objects and the background look different; both objects move by (2, 3) cells."""
    grid, shift = (14, 16), (2, 3)
    looks = 12 * torch.eye(3)
    before = torch.zeros(grid, dtype=torch.long)
    before[2:8, 1:7], before[5:11, 8:13] = 1, 2
    after = before.roll(shift, dims=(0, 1))
    masks = torch.stack([before == 1, before == 2]).float()
    key, query = (looks[labels].permute(2, 0, 1)[None] for labels in (before, after))
    memory = memory_with([key.flatten(2)], [masks[None, :, None].flatten(3)], grid=grid)
    out = RoutedMatching()(query, memory, rows_of([[True, True]]), 1)
    assert torch.allclose(out[:, 0], masks.roll(shift, dims=(1, 2)), atol=1e-4)
    one_layer = RoutedMatching(attentions=[dict(type="GridAttention")])(query, memory, rows_of([[True, True]]), 1)
    assert (one_layer[:, 0] - masks.roll(shift, dims=(1, 2))).abs().max() > 0.9  # a line in time does not lead there


def test_it_reads_a_mean_and_zero_where_no_route_leads():
    torch.manual_seed(0)
    keys, ones = torch.randn(2, 1, 4, CELLS), torch.ones(1, 1, 1, 3, CELLS)
    query = keys[1].unflatten(2, GRID).clone().requires_grad_()
    head, rows = RoutedMatching(), rows_of([[True]])
    assert torch.allclose(head(query, memory_with(keys[:1], ones), rows, 1), torch.ones(1, 3, *GRID), atol=1e-5)
    far = memory_with(keys[:1] + 1e3, ones)  # exp(-1e6) is zero
    out = head(query, far, rows, 1)
    assert not out.any()
    (out.sum() + head(query, memory_with(keys[:1] + 8, ones), rows, 1).square().sum()).backward()
    assert torch.isfinite(query.grad).all()


def test_objects_that_start_later_are_read_from_their_own_frames():
    torch.manual_seed(0)
    keys, values = torch.randn(3, 1, 4, CELLS), torch.randn(2, 1, 2, 3, CELLS)
    values[0, 0, 1] = 0
    valid = [torch.tensor([[True, False]]), torch.tensor([[True, True]])]
    head, query = RoutedMatching(), keys[2].unflatten(2, GRID)
    both = head(query, memory_with(keys[:2], values, valid=valid), rows_of([[True, True]]), 2)
    late = head(query, memory_with(keys[1:2], values[1:, :, 1:]), rows_of([[True]]), 2)
    early = head(query, memory_with(keys[:2], values[:, :, :1]), rows_of([[True]]), 2)
    assert torch.allclose(both[1], late[0], atol=1e-5) and torch.allclose(both[0], early[0], atol=1e-5)


@pytest.mark.parametrize("grid, text", [(None, "tokens without a grid"), ((6, 5), "a grid of 6x5 where the current")])
def test_memory_that_is_no_row_of_frames_is_refused(grid, text):
    memory = memory_with(torch.randn(1, 1, 4, CELLS), torch.randn(1, 1, 1, 3, CELLS), grid=grid)
    with pytest.raises(InputError, match=text) as error:
        RoutedMatching()(torch.randn(1, 4, *GRID), memory, rows_of([[True]]), 1)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("options, text", [
    (dict(attentions=[]), "attentions is empty"), (dict(similarity="l1"), "must be one of l2, dot, got 'l1'"),
    (dict(attentions=[dict(type="LocalAttention", h=0)]), "LocalAttention.h must be a whole number of at least 1"),
    (dict(attentions=[dict(type="MixedHeadsAttention", parts=[dict(type="GridAttention")] * 2)]), "1 head")])
def test_wrong_options_are_named(options, text):
    with pytest.raises(ConfigError, match=text):
        RoutedMatching(**options)


def test_a_config_alone_puts_it_into_stcn():
    cfg = load_config(CONFIGS / "sst/stcn_small_routed.py")
    model = build_model(cfg.model)
    assert isinstance(model.matching_head, RoutedMatching)
    size = (32, 48)
    logits = track(model, random_frames(3, size), {0: ((1,), boxes(1, size))})
    assert all(torch.isfinite(x).all() and x.shape == (1, 2, *size) for x in logits)
    assert load_config(CONFIGS / "sst/stcn_r50_routed.py").model.matching_head == dict(type="RoutedMatching")
