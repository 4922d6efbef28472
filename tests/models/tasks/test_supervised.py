"""From labelled clips to prompts, targets and losses."""

import pytest
import torch
from torch import nn

from tests.contracts.helpers import build_example, random_frames
from vosplug.models.losses import ClipLoss, NoteLoss
from vosplug.models.tasks.clips import clip_prompts, first_frames, hide_unstarted, resized_to, to_channels
from vosplug.models.tasks.supervised import losses_of, mean_iou
from vosplug.structures import ClipRecord, ClipSample, FrameRecord

VOID = 255


def sample(first, length=3, size=48):
    """A clip of rectangles; slot k starts at ``first[k]``."""
    labels = torch.zeros(length, size, size, dtype=torch.uint8)
    width = size // max(len(first), 1)
    for slot, start in enumerate(first):
        labels[start:, 8:32, slot * width : slot * width + width - 4] = slot + 1
    return ClipSample(labels=labels, first_frames=first, ids=tuple(range(10, 10 + len(first))))


def test_first_frames_are_padded_with_never():
    assert first_frames([sample((0, 2)), sample((0, 0, 1)), sample(())], never=3).tolist() == [
        [0, 2, 3], [0, 0, 1], [3, 3, 3]]
    assert first_frames([sample(())], never=3).shape == (1, 0)


def test_prompts_are_the_masks_of_the_slots_that_start():
    first = torch.tensor([[0, 2], [0, 0]])
    labels = torch.tensor([[[1, 0, VOID]], [[2, 1, 2]]])[:, None].expand(2, 3, 1, 3)
    prompt, nothing, late = clip_prompts(labels, first)
    assert prompt.ids == (1, 2) and prompt.valid.tolist() == [[True, False], [True, True]]
    assert prompt.masks.tolist() == [[[[1, 0, 0]], [[0, 0, 0]]], [[[0, 1, 0]], [[1, 0, 1]]]]
    assert late.ids == (2,) and late.valid.tolist() == [[True], [False]]
    assert nothing is None


def test_objects_that_nobody_can_know_are_void():
    first = torch.tensor([[0, 2], [1, 0]])
    labels = torch.tensor([[[0, 1, 2, VOID]], [[0, 1, 2, VOID]]])
    assert hide_unstarted(labels, first, 0).tolist() == [[[0, 1, VOID, VOID]], [[0, VOID, 2, VOID]]]
    assert hide_unstarted(labels, first, 1).tolist() == [[[0, 1, VOID, VOID]], [[0, 1, 2, VOID]]]
    assert hide_unstarted(labels, first, 2).tolist() == labels.tolist()


def test_labels_follow_the_order_of_the_channels():
    labels = torch.tensor([[[0, 1, 2, 3, VOID]]])
    assert to_channels(labels, (1, 2, 3)).tolist() == labels.tolist()
    assert to_channels(labels, (3, 1, 2)).tolist() == [[[0, 2, 3, 1, VOID]]]


def test_mean_iou():
    prediction = torch.tensor([[[1, 1, 0, 0]], [[2, 0, 0, 0]]])
    labels = torch.tensor([[[1, 0, 0, 0]], [[2, 2, 2, 0]]])
    logits = nn.functional.one_hot(prediction, 3).movedim(-1, 1).float()
    assert float(mean_iou(logits, labels, torch.tensor([[True, False], [False, True]]))) == pytest.approx(5 / 12)
    empty = mean_iou(logits, labels, torch.tensor([[True, True], [False, False]]))
    assert float(empty) == pytest.approx(3 / 4)  # object 2 is neither there nor predicted in the first clip
    assert float(mean_iou(logits, labels, torch.zeros(2, 2, dtype=torch.bool))) == 0


class Spy(ClipLoss):
    """A loss that remembers the frames that it got and answers with their number."""

    name, weight = "spy", 0.5

    def __init__(self):
        super().__init__()
        self.frames = []

    def forward(self, record):
        self.frames = record.scored()
        return record.frames[0].logits.new_tensor(float(len(self.frames)))

    def numbers(self, record):
        return {"seen": torch.tensor(len(record.frames))}


class Model(nn.Module):
    """Parameters and losses."""

    def __init__(self, *losses):
        super().__init__()
        self.losses = nn.ModuleList(losses)
        self.used, self.unused = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(1))
        self.frozen = nn.Parameter(torch.ones(1), requires_grad=False)


def record(*known):
    logits = torch.zeros(2, 2, 1, 2)
    logits[:, 0], logits[:, 1, :, 0] = 0.5, 1
    labels = torch.tensor([[[1, 0]], [[1, 1]]])
    return ClipRecord([FrameRecord(t, logits, labels, torch.tensor(table)) for t, table in enumerate(known)])


def test_losses_are_weighted_and_iou_leaves_out_clips_that_know_nothing():
    result = losses_of(Model(Spy()), record([[True], [True]], [[False], [True]]))
    assert float(result["loss_spy"]) == pytest.approx(0.5 * 2) and int(result["seen"]) == 2
    assert float(result["iou"]) == pytest.approx((0.75 + 0.5) / 2)


def test_without_predictions_losses_reach_every_parameter_with_zero():
    model = Model(Spy())
    result = losses_of(model, record([[False], [False]]))
    result["loss_spy"].backward()
    assert result["loss_spy"].item() == 0 and set(result) == {"loss_spy"}
    assert model.used.grad is not None and model.unused.grad is not None and model.frozen.grad is None


def test_parts_that_losses_on_notes_did_not_reach_get_a_gradient_of_zero():
    class Nothing(NoteLoss):
        name, weight = "nothing", 1.0

        def forward(self, record):
            return torch.zeros(())

    model = Model(Nothing())
    losses_of(model, record([[True], [True]]))["loss_nothing"].backward()
    assert float(model.unused.grad) == 0


def test_logits_of_a_method_come_to_the_size_of_the_labels():
    logits = torch.arange(3.0).view(1, 1, 1, 3)
    ends = [resized_to(logits, (1, 5), type("P", (), {"align_corners": corners})) for corners in (True, False)]
    assert ends[0].flatten().tolist() == [0, 0.5, 1, 1.5, 2]
    assert ends[1].flatten().tolist() == pytest.approx([0, 0.4, 1, 1.6, 2])
    assert resized_to(logits, (1, 3), None) is logits


class TestUnroll:
    """The loss of clips whose objects start at any frame, in any order of the slots."""

    @pytest.fixture
    def model(self):
        return build_example("STCN").train()

    @staticmethod
    def targets(model, *firsts):
        """(logits, labels) of each frame that reached the loss."""
        spy = Spy()
        model.losses = nn.ModuleList([spy])
        samples = [sample(first) for first in firsts]
        batch = model.data_preprocessor({"inputs": [random_frames(3, (48, 48)) for _ in firsts],
                                         "data_samples": samples}, True)
        result = model(**batch, mode="loss")
        return [frame.predicted() for frame in spy.frames], samples, result

    @pytest.mark.parametrize("firsts", [[(0, 0, 2)], [(0, 2, 0)], [(0, 1, 2), (0, 0)], [(0, 2, 1), (0, 0, 0)],
                                        [(0, 2, 0, 1), (0,)]])
    def test_labels_lie_in_the_channels_of_their_objects(self, model, firsts):
        calls, samples, result = self.targets(model, *firsts)
        assert torch.isfinite(result["iou"]) and len(calls) == 2
        for t, (logits, labels) in enumerate(calls, start=1):
            for row, (first, clip) in enumerate(zip(firsts, samples, strict=True)):
                for slot, start in enumerate(first, start=1):
                    own = labels[row][clip.labels[t] == slot].unique().tolist()
                    if start > t:
                        assert own in ([VOID], [])
                    elif start == t:  # a given mask is certain: its channel shows which it is
                        (channel,) = own
                        inside = logits[row].argmax(dim=0)[clip.labels[t] == slot]
                        assert (inside == channel).all()
                    else:
                        (channel,) = own
                        assert torch.isfinite(logits[row, channel]).all()
                present = labels[row][labels[row] != VOID].unique().tolist()
                assert len(present) == 1 + sum(start <= t for start in first)

    def test_order_of_the_slots_does_not_change_the_loss(self, model):
        batch = {"inputs": [random_frames(3, (48, 48))]}
        labels = sample((0, 1, 0)).labels
        swapped = torch.tensor([0, 1, 3, 2], dtype=torch.uint8)[labels.long()]
        results = []
        for clip in (ClipSample(labels, (0, 1, 0), (1, 2, 3)), ClipSample(swapped, (0, 0, 1), (1, 3, 2))):
            data = model.data_preprocessor({**batch, "data_samples": [clip]}, True)
            with torch.no_grad():
                results.append({k: float(v) for k, v in model(**data, mode="loss").items()})
        assert results[0] == pytest.approx(results[1], rel=1e-4)

    def test_iou_counts_propagated_objects_only(self, model, monkeypatch):
        seen = []
        monkeypatch.setattr("vosplug.models.tasks.supervised.mean_iou",
                            lambda logits, labels, scored: seen.append(scored.tolist()) or logits.new_zeros(()))
        self.targets(model, (0, 2, 0), (0, 1))
        # Frame 1: slots 1 and 3 of clip 1, slot 1 of clip 2. Frame 2: slot 2 of clip 2 too, slot 2 of clip 1 is given.
        assert [[sum(row) for row in frame] for frame in seen] == [[2, 1], [2, 2]]
