"""Soft aggregation and given masks."""

import math

import pytest
import torch

from vosplug.models.layers.aggregate import (
    EPSILON,
    clamped_logit,
    full_precision,
    hard_masks,
    soft_aggregate,
    winners,
    write_prompt,
)
from vosplug.structures import Prompt, VideoState


def started(active, ids):
    """A state in which ``ids`` have been started as the (B, O) table says."""
    state = VideoState(batch_size=len(active))
    size = (len(active), len(ids), 1, 2)
    state.start_objects(Prompt(ids=ids, masks=torch.zeros(size), valid=torch.tensor(active)))
    return state


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_log_odds_are_finite_and_lead_back(dtype):
    """As near as a type tells numbers below one apart; those of 0 and 1 are no larger than float32 can say."""
    prob = torch.linspace(0, 1, 1001, dtype=torch.float64).to(dtype)
    logits = clamped_logit(prob)
    assert logits.dtype == dtype and torch.isfinite(logits).all() and (logits.diff() >= 0).all()
    back = torch.sigmoid(logits.double())
    assert (back - prob.double()).abs().max() < 1.01 * max(torch.finfo(dtype).eps, EPSILON)
    assert logits[0] < -4 and logits[-1] > 4 and abs(logits[0] + logits[-1]) < 0.2
    assert torch.isfinite(soft_aggregate(torch.tensor([[[[0.0, 1.0]], [[1.0, 1.0]]]], dtype=dtype),
                                         torch.ones(1, 2, dtype=torch.bool))).all()


def test_formula_of_stm():
    prob = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64).view(1, 3, 1, 1)
    distribution = soft_aggregate(prob, torch.ones(1, 3, dtype=torch.bool)).softmax(dim=1).flatten()
    background = 0.8 * 0.5 * 0.1
    odds = [p / (1 - p) for p in (background, 0.2, 0.5, 0.9)]
    assert torch.allclose(distribution, torch.tensor([o / sum(odds) for o in odds], dtype=torch.float64), atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_certain_probabilities_stay_finite(dtype):
    prob = torch.tensor([[0.0, 1.0, 1.0], [0.0, 0.0, 1.0]], dtype=dtype).view(1, 2, 1, 3).requires_grad_()
    logits = soft_aggregate(prob, torch.ones(1, 2, dtype=torch.bool))
    limit = math.log((1 - 1e-7) / 1e-7)
    assert torch.isfinite(logits).all() and logits.abs().max().item() == pytest.approx(limit, rel=0.02)
    assert logits[0, :, 0, 0].argmax() == 0 and logits[0, :, 0, 1].argmax() == 1
    logits.softmax(dim=1).square().sum().backward()
    assert torch.isfinite(prob.grad).all()


def test_absent_objects_have_no_share():
    prob = torch.full((2, 2, 1, 1), 0.4)
    prob[1, 1] = 0  # what scattering writes for pairs that do not exist
    logits = soft_aggregate(prob, torch.tensor([[True, True], [True, False]]))
    assert torch.isfinite(logits[0]).all() and logits[1, 2] == float("-inf")
    alone = soft_aggregate(prob[1:, :1], torch.ones(1, 1, dtype=torch.bool))
    assert torch.allclose(logits[1:, :2], alone)


def test_without_objects_everything_is_background():
    logits = soft_aggregate(torch.zeros(2, 0, 3, 4), torch.zeros(2, 0, dtype=torch.bool))
    assert logits.shape == (2, 1, 3, 4) and torch.isfinite(logits).all()
    assert torch.equal(logits.softmax(dim=1), torch.ones(2, 1, 3, 4))


def merged(prob, state, prompt):
    """What the frame loop makes of predictions (B, O_before, 1, W) and given masks."""
    before = torch.zeros_like(state.active)[:, : prob.shape[1]] | state.active[:, : prob.shape[1]]
    return write_prompt(soft_aggregate(prob, before), prompt, state.ids.ids, state.active)


def test_given_masks_are_certain_and_claim_their_pixels():
    state = started([[True]], (5,))
    state.start_objects(Prompt(ids=(3, 8), masks=torch.zeros(1, 2, 1, 4)))
    masks = torch.tensor([[1.0, 0, 0, 0], [0, 0, 1, 0]]).view(1, 2, 1, 4)
    logits = merged(torch.full((1, 1, 1, 4), 0.6), state, Prompt(ids=(3, 8), masks=masks))
    independent = torch.tensor([[0, 0.6, 0, 0.6], [1, 0, 0, 0], [0, 0, 1, 0]]).view(1, 3, 1, 4)
    assert torch.equal(logits, soft_aggregate(independent, state.active))
    assert logits.argmax(dim=1).flatten().tolist() == [2, 1, 3, 1]
    assert float(logits.softmax(dim=1)[0, 2, 0, 0]) > 1 - 10 * EPSILON


def test_given_masks_of_other_videos_change_nothing():
    state = started([[True, False], [True, True]], (1, 2))
    valid = torch.tensor([[True], [False]])
    state.start_objects(Prompt(ids=(2,), masks=torch.ones(2, 1, 1, 2), valid=valid))
    prob = torch.tensor([[0.5, 0.0], [0.3, 0.4]])[:, :, None, None].expand(2, 2, 1, 2)
    active = torch.tensor([[True, False], [True, True]])
    logits = write_prompt(soft_aggregate(prob, active), Prompt(ids=(2,), masks=torch.ones(2, 1, 1, 2), valid=valid),
                          (1, 2), state.active)
    assert logits[0].argmax(dim=0).tolist() == [[2, 2]]
    assert torch.equal(logits[1], soft_aggregate(prob, active)[1])


def test_ids_of_a_prompt_find_their_channels_in_any_order():
    state = started([[True, True]], (7, 4))
    masks = torch.tensor([[1.0, 0], [0, 1]]).view(1, 2, 1, 2)
    logits = write_prompt(soft_aggregate(torch.zeros(1, 0, 1, 2), torch.zeros(1, 0, dtype=torch.bool)),
                          Prompt(ids=(4, 7), masks=masks), (7, 4), state.active)
    assert logits.argmax(dim=1).flatten().tolist() == [2, 1]


def test_masks_come_at_the_size_of_the_logits():
    native = torch.zeros(1, 1, 2, 6)
    native[..., 4:] = 1
    prompt = Prompt(ids=(1,), masks=native[..., ::2], native=native)
    for width, expected in ((3, [0, 0, 1]), (6, [0, 0, 0, 0, 1, 1]), (12, [0] * 8 + [1] * 4)):
        logits = write_prompt(torch.zeros(1, 1, 2, width), prompt, (1,), torch.ones(1, 1, dtype=torch.bool))
        assert logits.argmax(dim=1)[0, 0].tolist() == expected


@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_given_masks_win_over_whatever_logits_a_method_has(scale):
    logits = torch.randn(2, 4, 5, 6) * scale
    masks = torch.zeros(2, 2, 5, 6)
    masks[0, 0, :2], masks[0, 1, 3:], masks[1, 1, :, 2:] = 1, 1, 1
    written = write_prompt(logits, Prompt(ids=(9, 5), masks=masks), (5, 7, 9), torch.ones(2, 3, dtype=torch.bool))
    labels = torch.tensor([3, 1])[masks.argmax(dim=1)]
    inside = masks.any(dim=1)
    assert torch.equal(written.argmax(dim=1)[inside], labels[inside])
    assert written.softmax(dim=1).amax(dim=1)[inside].min() > 0.999
    assert torch.equal(written[:, [0, 2]].movedim(1, -1)[~inside], logits[:, [0, 2]].movedim(1, -1)[~inside])
    assert (written.softmax(dim=1)[:, [1, 3]].movedim(1, -1)[~inside] < 1e-5).all()


def test_full_precision():
    assert full_precision(torch.zeros(1, dtype=torch.bfloat16)).dtype == torch.float32
    assert full_precision(torch.zeros(1, dtype=torch.float16)).dtype == torch.float32
    assert full_precision(torch.zeros(1, dtype=torch.float64)).dtype == torch.float64


@pytest.mark.parametrize("objects", [0, 1, 3, 254, 255])
def test_winners_are_the_first_of_the_largest(objects):
    """255 objects do not fit into a byte."""
    torch.manual_seed(objects)
    logits = torch.randint(-3, 4, (2, objects + 1, 5, 4)).float()
    logits[1, 1:2] = -math.inf
    labels = winners(logits)
    assert labels.dtype == (torch.uint8 if objects < 255 else torch.int64)
    assert torch.equal(labels.long(), logits.argmax(dim=1))
    masks = hard_masks(logits)
    assert masks.shape == (2, objects, 5, 4) and masks.dtype == torch.float32
    assert torch.equal(masks.sum(dim=1), (labels > 0).float())
    assert all(masks[b, labels[b, y, x].long() - 1, y, x] == 1
               for b, y, x in (labels > 0).nonzero().tolist())


def test_what_is_no_number_is_background():
    logits = torch.tensor([[0.0, math.nan], [1.0, 2.0]]).view(1, 2, 1, 2)
    assert winners(logits).flatten().tolist() == [1, 0]
