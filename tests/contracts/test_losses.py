"""What losses and tasks must do."""

import pytest
import torch

from tests.models.tracklets.helpers import moving_squares
from vosplug.models.losses import ReferenceLoss
from vosplug.models.losses.base import ClipLoss, NoteLoss, PixelLoss, WorkLoss
from vosplug.models.losses.pair import PairLoss
from vosplug.models.losses.tracklet_matching import TrackletTargets
from vosplug.models.tracklets import InteractionOutput
from vosplug.registry import LOSSES, SEGMENTORS, TASKS, VIS_SEGMENTORS
from vosplug.structures import (
    ClipRecord,
    Decision,
    MaskTransition,
    ReferencePrediction,
    RowLogits,
    ScoreChange,
    TemplateMask,
    Work,
)

from .helpers import build_model, training_batch
from .parts import cases, is_ours, record_of, rows_of


@pytest.mark.parametrize("part", cases(LOSSES))
def test_losses_read_the_record_of_a_clip(part):
    loss = part.build()
    assert isinstance(loss, ClipLoss) and loss.name and isinstance(loss.name, str) and isinstance(loss.weight, float)
    assert LOSSES.build({**part.config, "weight": 0.25}).weight == 0.25
    torch.manual_seed(1)
    logits, labels = torch.randn(2, 3, 6, 8), torch.randint(0, 3, (2, 6, 8))
    record = record_of(logits.clone(), labels.clone())
    value, again = (torch.as_tensor(loss(record)) for _ in range(2))
    assert value.shape == () and torch.isfinite(value) and torch.equal(value, again)
    assert all(isinstance(name, str) and torch.as_tensor(x).shape == () for name, x in loss.numbers(record).items())
    assert torch.equal(record.frames[0].logits, logits) and torch.equal(record.frames[0].labels, labels)


@pytest.mark.parametrize("part", cases(LOSSES, of=PixelLoss))
def test_losses_on_masks_fall_as_masks_get_better_and_ignore_void(part):
    loss = part.build()
    if hasattr(loss, "set_progress"):
        loss.set_progress(10, 100)
    labels = torch.zeros(1, 6, 6, dtype=torch.long)
    labels[:, 2:5, 1:4], labels[:, 0] = 1, 255
    truth = torch.stack([labels != 1, labels == 1], dim=1).float() * 2 - 1
    values = [float(loss(record_of(truth * scale, labels))) for scale in (-4, -1, 0, 1, 4, 30)]
    assert values == sorted(values, reverse=True) and values[-1] == pytest.approx(0, abs=1e-3)
    void = truth.clone()
    void[:, :, 0] *= -50
    assert float(loss(record_of(void, labels))) == pytest.approx(float(loss(record_of(truth, labels))), abs=1e-6)
    assert float(loss(ClipRecord())) == 0


@pytest.mark.parametrize("part", cases(LOSSES, of=ReferenceLoss))
def test_losses_on_references_read_their_predictions_and_fade(part):
    loss = part.build()
    labels = torch.zeros(2, 6, 6, dtype=torch.long)
    labels[:, 2:5, 1:4] = 1
    truth = torch.stack([labels != 1, labels == 1], dim=1).float() * 2 - 1
    values = []
    for scale in (-4, 0, 4, 30):
        note = ReferencePrediction(truth * scale, clips=torch.tensor([False, True]))
        values.append(float(loss(record_of(-truth, labels, [note]))))
    assert values == sorted(values, reverse=True) and values[-1] == pytest.approx(0, abs=1e-3)
    assert float(loss(record_of(truth, labels))) == 0 and loss.reads_references
    note = ReferencePrediction(-truth, clips=torch.tensor([True, True]))
    whole = float(loss(record_of(truth, labels, [note])))
    loss.set_progress(25, 100)
    assert float(loss(record_of(truth, labels, [note]))) == pytest.approx(0.75 * whole)
    loss.set_progress(100, 100)
    assert float(loss(record_of(truth, labels, [note]))) == 0 and not loss.reads_references


def work_of(computed, layers=3, sites=100):
    """A clip on which layers computed a share of their sites."""
    share = torch.tensor(float(computed), requires_grad=True)
    work = [Work(f"layer{i}", 10 + i, 0, sites, chosen=share * sites, decided=sites) for i in range(layers)]
    return record_of(torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2, dtype=torch.long), work)


def clip_with_notes():
    """A clip of two objects on which everything was noted that losses read, and the tensors that can be learnt."""
    draw, rows = torch.Generator().manual_seed(2), rows_of([[True, True]])
    labels = torch.zeros(1, 8, 8, dtype=torch.long)
    labels[:, 1:5, 1:4], labels[:, 4:7, 5:7] = 1, 2
    truth = torch.stack([labels[0] == 1, labels[0] == 2]).float()[:, None]
    share, probability = torch.tensor(0.9), torch.tensor([0.2, 0.9])
    single, delta, whole, change = (torch.randn(*size, 8, 8, generator=draw)
                                    for size in ((2, 1), (2, 1), (1, 3), (2, 2)))
    learnt = [x.requires_grad_() for x in (share, probability, single, delta, whole, change)]
    yes, no = torch.ones(2, dtype=torch.bool), torch.zeros(2, dtype=torch.bool)
    notes = [Work("layer", 10, 0, 100, chosen=share * 100, decided=100), RowLogits(rows, single),
             Decision(rows.keys, reused=yes, probability=probability, forced=no, iou=torch.tensor([0.8, float("nan")])),
             ScoreChange(rows, delta, score=truth.roll(1, -1), truth=truth), TemplateMask(rows, single),
             MaskTransition(rows, change[..., ::2, ::2], before=truth[..., ::2, ::2].roll(1, -1)),
             ReferencePrediction(whole, clips=torch.tensor([True]))]
    return record_of(torch.randn(1, 3, 8, 8, generator=draw), labels, notes), learnt


@pytest.mark.parametrize("part", cases(LOSSES, of=NoteLoss))
def test_losses_on_notes_train_what_was_noted_and_are_zero_without(part):
    loss, (record, learnt) = part.build(), clip_with_notes()
    value = loss(record)
    assert value.shape == () and torch.isfinite(value) and float(value.detach()) >= 0
    assert value.requires_grad or not is_ours(type(loss))  # others may read notes of their own
    if value.requires_grad:
        value.backward()
        trained = [x.grad for x in learnt if x.grad is not None]
        assert all(torch.isfinite(x).all() for x in trained) and any(x.abs().sum() > 0 for x in trained)
    assert all(torch.isfinite(torch.as_tensor(x)).all() for x in loss.numbers(record).values())
    frame = record.frames[0]
    assert float(loss(record_of(frame.logits, frame.labels))) == float(loss(ClipRecord())) == 0


@pytest.mark.parametrize("part", cases(LOSSES, of=WorkLoss))
def test_losses_on_work_rise_with_the_work_above_the_target(part):
    loss = part.build()
    values = [float(loss(work_of(share)).detach()) for share in (0.55, 0.7, 0.9, 1.0)]
    assert values == sorted(values) and values[0] < values[-1]
    assert float(loss(ClipRecord())) == 0
    assert float(loss.numbers(work_of(0.5))["density"]) == pytest.approx(0.5)


def features_for(loss, seed=0):
    """What a loss between two models compares: cells of other widths where it takes them, logits of two clips."""
    draw = torch.Generator().manual_seed(seed)
    if loss.reads == "logits":
        logits = torch.randn(4, 4, 3, 5, generator=draw)
        logits[1, 3] = float("-inf")
        return logits
    cells = torch.randn(4, 15, 6 if loss.columns in ("keys", "channels") else 6 + seed, generator=draw)
    return cells.softmax(dim=-1) if loss.columns == "keys" else cells


@pytest.mark.parametrize("part", cases(LOSSES, "pair"))
def test_losses_between_two_models_teach_the_student_alone(part):
    loss = part.build()
    assert isinstance(loss, PairLoss) and loss.name and isinstance(loss.weight, float)
    assert loss.reads in ("cells", "logits") and loss.columns in ("any", "keys", "channels", "fixed")
    assert LOSSES.build({**part.config, "weight": 0.25}).weight == 0.25
    student, teacher = features_for(loss).requires_grad_(), features_for(loss, seed=1).requires_grad_()
    loss.prepare(student.detach(), teacher.detach())
    value, again = loss(student, teacher), loss(student, teacher)
    assert value.shape == () and value.dtype == torch.float32 and torch.equal(value, again)
    value.backward()
    assert torch.isfinite(student.grad).all() and student.grad.abs().sum() > 0 and teacher.grad is None
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in loss.parameters())
    with torch.autocast("cpu", torch.bfloat16):
        half = loss(student.detach().bfloat16(), teacher.detach().bfloat16())
    assert half.dtype == torch.float32 and torch.isfinite(half)
    assert float(half.detach()) == pytest.approx(float(value.detach()), rel=0.05, abs=0.02)


@pytest.mark.parametrize("part", cases(LOSSES, "pair"))
def test_losses_between_two_models_fall_as_the_student_comes_near(part):
    loss = part.build()
    student, teacher = features_for(loss), features_for(loss, seed=1)
    if student.shape != teacher.shape:
        teacher = features_for(loss)[..., :6] + 0.5 * torch.randn(4, 15, 6, generator=torch.Generator().manual_seed(7))
    loss.prepare(student, teacher)
    if loss.columns == "fixed":  # what is projected has to be learnt first
        optimizer = torch.optim.Adam(loss.parameters(), 0.05)
        values = []
        for _ in range(30):
            optimizer.zero_grad()
            value = loss(student, teacher)
            value.backward()
            optimizer.step()
            values.append(float(value.detach()))
        assert values[-1] < 0.8 * values[0]
        return
    mixed = [torch.where(teacher.isneginf(), teacher, (1 - a) * student + a * teacher) for a in (0.0, 0.5, 0.8, 1.0)]
    values = [float(loss(x, teacher)) for x in mixed]
    assert values == sorted(values, reverse=True) and values[0] > values[-1]


@pytest.mark.parametrize("part", cases(LOSSES, "tracklets"))
def test_losses_of_tracklets_match_instances_with_them(part):
    criterion = part.build()
    target = TrackletTargets.of(moving_squares()[1], torch.device("cpu"))
    boxes = torch.tensor([30.0, 20, 60, 45]).repeat(1, 3, 4, 1)
    boxes[0, :, :2] = target.boxes.transpose(0, 1)
    logits = torch.full((1, 3, 4, 3), -5.0)
    logits[0, :, [0, 1], target.labels] = 5.0
    output = InteractionOutput(logits=logits.requires_grad_(), boxes=boxes.requires_grad_(),
                               masks=torch.zeros(1, 3, 4, 3, 14, 14, requires_grad=True),
                               queries=torch.zeros(1, 3, 4, 8))
    (tracklets, instances), = matches = criterion.match(output, [target])
    assert dict(zip(tracklets.tolist(), instances.tolist(), strict=True)) == {0: 0, 1: 1}
    values = criterion(output, [target], matches)
    assert all(torch.isfinite(x) and x.shape == () for x in values.values())
    assert float(values["l1"].detach()) == pytest.approx(0, abs=1e-5)
    sum(values.values()).backward()
    assert all(torch.isfinite(x.grad).all() for x in (output.logits, output.boxes, output.masks))
    swapped = criterion(output, [target], [(tracklets, instances.flip(0))])
    assert float(sum(swapped.values()).detach()) > float(sum(values.values()).detach())


def check_losses(task, model, inputs, data_samples):
    """Scalars, of which those named ``loss_...`` train the model; the task is no part of it."""
    names = set(model.state_dict())
    model.use_task(task)
    assert set(model.state_dict()) == names
    losses = model(inputs, data_samples, mode="loss")
    assert losses and all(torch.as_tensor(value).shape == () for value in losses.values())
    sum(value for name, value in losses.items() if name.startswith("loss_")).backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize("part", cases(TASKS))
def test_tasks_give_the_losses_of_clips(part):
    model = build_model(SEGMENTORS.example("STCN")).train()
    check_losses(part.build(), model, **training_batch(model))


@pytest.mark.parametrize("part", cases(TASKS, "tracklets"))
def test_tasks_give_the_losses_of_clips_with_tracklets(part):
    torch.manual_seed(0)
    model = VIS_SEGMENTORS.build(VIS_SEGMENTORS.example("EfficientVIS")).train()
    pictures, sample = moving_squares()
    batch = model.data_preprocessor({"inputs": [pictures], "data_samples": [sample]}, True)
    check_losses(part.build(), model, **batch)
