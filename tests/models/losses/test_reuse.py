"""Losses of reuse gates against values computed by hand."""

import pytest
import torch

from vosplug.engine.hooks.progress_hook import ProgressHook
from vosplug.models.losses.reuse import DeltaLoss, GateProbabilityLoss, GateRateLoss
from vosplug.structures import ClipRecord, Decision, FrameRecord, Rows, ScoreChange
from vosplug.utils.errors import ConfigError

ROWS = Rows.of_table(torch.ones(1, 2, dtype=torch.bool), (1, 2))


def record(*notes):
    """A clip of one frame for each of ``notes``."""
    return ClipRecord([FrameRecord(t, torch.zeros(1, 3, 2, 2), torch.zeros(1, 2, 2, dtype=torch.long),
                                   torch.ones(1, 2, dtype=torch.bool), notes=[note]) for t, note in enumerate(notes)])


def decision(probability, iou, forced=(False, False), reused=(False, False)):
    """A gate's answer for both objects."""
    return Decision(ROWS.keys, torch.tensor(reused), torch.tensor(probability, requires_grad=True),
                    forced=torch.tensor(forced), iou=torch.tensor(iou))


def test_change_of_the_score():
    """Eq. 3: rows and frames count alike, and what a frame has no truth of does not count."""
    score = torch.tensor([0.5, 0.0]).view(2, 1, 1, 1)
    first = ScoreChange(ROWS, torch.tensor([0.25, 0.5]).view(2, 1, 1, 1), score, truth=torch.ones(2, 1, 1, 1))
    second = ScoreChange(ROWS, torch.tensor([-0.5, 0.0]).view(2, 1, 1, 1), score, truth=torch.zeros(2, 1, 1, 1))
    unknown = ScoreChange(ROWS, torch.full((2, 1, 1, 1), 9.0), score)
    # (1 - 0.5) - 0.25 = 0.25, (1 - 0) - 0.5 = 0.5; the second is exact
    assert float(DeltaLoss()(record(first, second, unknown))) == pytest.approx((0.25 ** 2 + 0.5 ** 2) / 4)
    assert float(DeltaLoss()(record(unknown))) == 0


@pytest.mark.parametrize("m1", [0.0, 0.35, 1.0])
@pytest.mark.parametrize("epoch, share", [(0, 0.0), (60, 0.5), (120, 1.0), (200, 1.0)])
def test_target_of_the_probability_by_epoch(m1, epoch, share):
    """Eq. 4 with ep_T = 120 of 260 epochs of 638 iterations."""
    loss = GateProbabilityLoss(m1=m1)
    loss.set_progress(638 * epoch, 638 * 260)
    margin = m1 * share
    assert loss.margin == pytest.approx(margin)
    found = loss(record(decision([0.3, 0.9], [0.1, 0.8])))
    expected = [(0.3 - max(margin, 0.1)) ** 2, (0.9 - max(margin, 0.8)) ** 2]
    assert float(found.detach()) == pytest.approx(sum(expected) / 2, abs=1e-7)


def test_a_resumed_run_has_the_margin_of_its_iteration():
    loss = GateProbabilityLoss(m1=1.0)
    hook = ProgressHook()
    hook.modules = [loss]
    runner = type("Runner", (), dict(iter=30, max_iters=260))()
    hook.before_train_iter(runner, 0)  # the first iteration that this process sees
    assert loss.margin == pytest.approx(30 / 120)
    assert loss.state_dict() == {}  # nothing that a checkpoint could bring back otherwise


@pytest.mark.parametrize("form, m2, inside, outside, slope", [
    ("hinge", 0.2, 0.0, 0.3 ** 2, 2 * 0.3), ("max", 0.2, 0.2 ** 2, 0.5 ** 2, 2 * 0.5),
    ("hinge", 0.0, 0.1 ** 2, 0.5 ** 2, 2 * 0.5), ("max", 0.0, 0.1 ** 2, 0.5 ** 2, 2 * 0.5)])
def test_both_forms_on_both_sides_of_the_second_margin(form, m2, inside, outside, slope):
    """Eq. 5: differences of 0.1 and 0.5; inside the margin neither form has a gradient."""
    loss = GateProbabilityLoss(m2=m2, form=form)
    note = decision([0.6, 1.0], [0.5, 0.5])
    value = loss(record(note))
    assert float(value.detach()) == pytest.approx((inside + outside) / 2, abs=1e-7)
    value.backward()
    within = 0.0 if m2 else 2 * 0.1
    assert note.probability.grad.tolist() == pytest.approx([within / 2, slope / 2], abs=1e-6)


def test_rows_without_a_choice_do_not_count_and_empty_masks_have_the_iou_that_is_asked_for():
    nan = float("nan")
    notes = [decision([0.9, 0.4], [nan, 0.0], forced=(False, True)), decision([0.2, 0.2], [1.0, 1.0], (True, True))]
    assert float(GateProbabilityLoss()(record(*notes)).detach()) == pytest.approx(0.81)
    assert float(GateProbabilityLoss(empty_iou=1.0)(record(*notes)).detach()) == pytest.approx(0.01)
    assert float(GateProbabilityLoss()(record(notes[1]))) == float(GateRateLoss()(record(notes[1]))) == 0


def test_rate_over_batch_and_frames():
    """Hard gates count; gradients are those of the probabilities, 2 (rate - target) / N each."""
    notes = [decision([0.9, 0.8], [0.0, 0.0], reused=(True, True)),
             decision([0.6, 0.1], [0.0, 0.0], reused=(True, False), forced=(False, False)),
             decision([0.1, 0.1], [0.0, 0.0], reused=(False, False), forced=(True, True))]
    value = GateRateLoss(target=0.5)(record(*notes))
    assert float(value.detach()) == pytest.approx((3 / 4 - 0.5) ** 2)
    value.backward()
    assert [note.probability.grad.tolist() for note in notes[:2]] == [pytest.approx([2 * 0.25 / 4] * 2)] * 2


@pytest.mark.parametrize("build, message", [
    (lambda: GateProbabilityLoss(m1=1.5), "m1 must lie in 0..1"), (lambda: GateProbabilityLoss(m2=-1), "m2 must lie"),
    (lambda: GateProbabilityLoss(ramp=0), "ramp must be a share"), (lambda: GateRateLoss(target=2), "target must lie"),
    (lambda: GateProbabilityLoss(form="square"), "form must be one of hinge, max"),
    (lambda: GateProbabilityLoss(empty_iou=2), "empty_iou must lie")])
def test_bad_options(build, message):
    with pytest.raises(ConfigError, match=message):
        build()
