"""On clips of one frame the loss of tracklets is that of Sparse R-CNN and QueryInst."""

import pytest
import torch

from tests.models.tracklets.helpers import moving_squares
from vosplug.models.losses.tracklet_loss import TrackletLoss, dice
from vosplug.models.losses.tracklet_matching import TrackletTargets, assign
from vosplug.models.tracklets import InteractionOutput

QUERIES, CLASSES = 6, 3


@pytest.fixture
def mmdet():
    pytest.importorskip("mmcv.ops", reason="mmcv's compiled operators are not installed")
    return pytest.importorskip("mmdet.models", reason="mmdet is not installed")


@pytest.fixture
def case():
    torch.manual_seed(0)
    _, sample = moving_squares(length=1)
    target = TrackletTargets.of(sample, torch.device("cpu"))
    low = torch.rand(1, 1, QUERIES, 2) * 30
    output = InteractionOutput(
        logits=torch.randn(1, 1, QUERIES, CLASSES), boxes=torch.cat([low, low + 5 + 20 * torch.rand_like(low)], dim=-1),
        masks=torch.randn(1, 1, QUERIES, CLASSES, 28, 28), queries=torch.zeros(1, 1, QUERIES, 4))
    return output, target


def test_classes_boxes_and_dice_equal_the_ancestors(mmdet, case):
    output, target = case
    criterion = TrackletLoss()
    matches = criterion.match(output, [target])
    ours = criterion(output, [target], matches)
    tracklets, instances = matches[0]
    labels = torch.full((QUERIES,), CLASSES)
    labels[tracklets] = target.labels[instances]
    losses = mmdet.losses
    focal = losses.FocalLoss(use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=2.0)
    found = output.boxes[0, 0, tracklets]
    truth = target.boxes[instances, 0]
    expected = {
        "cls": focal(output.logits[0, 0], labels, avg_factor=2),
        "l1": losses.L1Loss(loss_weight=5.0)(found / target.scale, truth / target.scale, avg_factor=2),
        "giou": losses.GIoULoss(loss_weight=2.0)(found, truth, avg_factor=2)}
    for name, value in expected.items():
        assert torch.allclose(ours[name], value, atol=1e-5), name
    logits, masks = torch.randn(3, 28, 28), (torch.rand(3, 28, 28) > 0.5).float()
    theirs = losses.DiceLoss(use_sigmoid=True, activate=False, eps=1e-5, loss_weight=1.0)
    assert torch.allclose(dice(logits, masks).mean(), theirs(logits.sigmoid(), masks, avg_factor=3), atol=1e-6)


def test_the_cost_without_masks_equals_the_ancestors(mmdet, case):
    from mmdet.models.task_modules.assigners import BBoxL1Cost, FocalLossCost, IoUCost
    from mmengine.structures import InstanceData

    output, target = case
    predictions = InstanceData(scores=output.logits[0, 0], bboxes=output.boxes[0, 0])
    truth = InstanceData(labels=target.labels, bboxes=target.boxes[:, 0])
    meta = dict(img_shape=(48, 64))
    costs = (FocalLossCost(weight=2.0), BBoxL1Cost(weight=5.0, box_format="xyxy"), IoUCost(iou_mode="giou", weight=2.0))
    expected = sum(cost(predictions, truth, meta) for cost in costs)
    assert torch.allclose(TrackletLoss(mask_match_weight=0.0).cost(output, 0, target), expected, atol=1e-4)


def test_the_cheapest_assignment_is_found():
    cost = torch.tensor([[5.0, 1.0], [1.0, 9.0], [2.0, 2.0]])
    assert [x.tolist() for x in assign(cost)] == [[0, 1], [1, 0]]
