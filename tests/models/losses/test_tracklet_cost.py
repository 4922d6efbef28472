"""The matching cost and the loss of tracklets on two frames, the second without the instance, against sums by hand."""

import math

import pytest
import torch

from vosplug.models.losses.tracklet_loss import TrackletLoss
from vosplug.models.losses.tracklet_matching import TrackletTargets, box_cost, class_cost, mask_iou
from vosplug.models.tracklets import InteractionOutput

SIZE = (20, 40)
ALPHA, GAMMA = 0.25, 2.0
LOGITS = [[[2.0, -1.0, 0.5], [-3.0, 0.0, 1.0]],  # frame 0: two tracklets, three classes
          [[-1.5, 0.3, -2.0], [0.7, -0.2, 2.5]]]
BOXES = [[[0.0, 0.0, 10.0, 10.0], [20.0, 4.0, 30.0, 14.0]],
         [[5.0, 5.0, 15.0, 15.0], [0.0, 0.0, 40.0, 20.0]]]


@pytest.fixture
def target():
    """One instance of class 1: the square from (5, 0) to (15, 10) in frame 0, absent in frame 1."""
    masks = torch.zeros(1, 2, *SIZE, dtype=torch.bool)
    masks[0, 0, 0:10, 5:15] = True
    return TrackletTargets(labels=torch.tensor([1]), boxes=torch.tensor([[[5.0, 0.0, 15.0, 10.0], [0.0] * 4]]),
                           present=torch.tensor([[True, False]]), masks=masks,
                           scale=torch.tensor([40.0, 20.0, 40.0, 20.0]))


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def gain(logit):
    """Focal loss as a class of the instance minus that as another."""
    p = sigmoid(logit)
    return -ALPHA * (1 - p) ** GAMMA * math.log(p) + (1 - ALPHA) * p ** GAMMA * math.log(1 - p)


def test_classes_cost_background_where_the_instance_is_absent(target):
    cost = class_cost(torch.tensor(LOGITS), target, ALPHA, GAMMA)
    for n in range(2):
        here = gain(LOGITS[0][n][1])
        absent = -gain(max(LOGITS[1][n]))  # the surer of a class, the dearer
        assert cost[n, 0] == pytest.approx((here + absent) / 2, abs=1e-6)
    assert cost[1, 0] > class_cost(torch.tensor([LOGITS[0], [LOGITS[1][0]] * 2]), target, ALPHA, GAMMA)[1, 0]


def test_boxes_cost_nothing_where_the_instance_is_absent(target):
    cost = box_cost(torch.tensor(BOXES), target, l1_weight=5.0, giou_weight=2.0)
    # Tracklet 0: 5 pixels to the left; the union of the boxes is their hull.
    expected = 5.0 * (5 / 40 + 5 / 40) - 2.0 * (50 / 150)
    assert cost[0, 0] == pytest.approx(expected / 2, abs=1e-5)
    # Tracklet 1: apart; hull 25 x 14, of which 200 pixels are covered.
    expected = 5.0 * (15 / 40 + 4 / 20 + 15 / 40 + 4 / 20) - 2.0 * (0 - (350 - 200) / 350)
    assert cost[1, 0] == pytest.approx(expected / 2, abs=1e-5)


@pytest.fixture
def output():
    """Masks that fill their boxes, surely, but for class 1 of tracklet 1, which is empty."""
    masks = torch.full((1, 2, 2, 3, 4, 4), 30.0)
    masks[:, :, 1, 1] = -30.0
    return InteractionOutput(logits=torch.tensor([LOGITS]), boxes=torch.tensor([BOXES]), masks=masks,
                             queries=torch.zeros(1, 2, 2, 4))


def test_masks_lose_what_lies_outside_their_box(target, output):
    iou = mask_iou(output.masks[0], output.boxes[0], target)
    # Half of the instance lies in the box of tracklet 0: 50 of 100 + 100 - 50 pixels, and nothing in frame 1.
    assert iou[0, 0] == pytest.approx(50 / 150 / 2, abs=1e-5)
    assert iou[1, 0] == pytest.approx(0, abs=1e-5)


def test_the_cost_is_the_weighted_sum_and_overlap_makes_it_lower(target, output):
    loss = TrackletLoss(mask_match_weight=3.0)
    expected = 2.0 * class_cost(output.logits[0], target, ALPHA, GAMMA) + box_cost(output.boxes[0], target, 5.0, 2.0)
    expected[0, 0] -= 3.0 * 50 / 150 / 2
    torch.testing.assert_close(loss.cost(output, 0, target), expected, atol=1e-4, rtol=0)


def test_every_term_has_its_own_divisor(target, output):
    matches = [(torch.tensor([0]), torch.tensor([0]))]
    losses = TrackletLoss()(output, [target], matches)
    # One frame shows the instance; cross-entropy is over both: half the cells are wrong in frame 0, all in frame 1.
    assert float(losses["ce"]) == pytest.approx((0.5 * 30 + 30) / 2, rel=1e-5)
    assert float(losses["l1"]) == pytest.approx(5.0 * (5 / 40 + 5 / 40), rel=1e-5)
    assert float(losses["giou"]) == pytest.approx(2.0 * (1 - 50 / 150), rel=1e-5)
    assert float(losses["dice"]) == pytest.approx(8.0 * (1 - 2 * 8 / (16 + 8)), rel=1e-5)
    positive = -ALPHA * (1 - sigmoid(-1.0)) ** GAMMA * math.log(sigmoid(-1.0))
    others = [x for t in range(2) for n in range(2) for k, x in enumerate(LOGITS[t][n]) if (t, n, k) != (0, 0, 1)]
    negative = sum(-(1 - ALPHA) * sigmoid(x) ** GAMMA * math.log(1 - sigmoid(x)) for x in others)
    assert float(losses["cls"]) == pytest.approx(2.0 * (positive + negative), rel=1e-5)
