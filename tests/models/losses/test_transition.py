"""TransitionLoss by hand."""

import pytest
import torch

from tests.contracts.parts import record_of, rows_of
from vosplug.models.losses import TransitionLoss
from vosplug.structures import MaskTransition
from vosplug.utils.errors import ConfigError

VOID = 255


def record(labels, change, before, exists=((True,),)):
    """A clip of one frame with a note."""
    note = MaskTransition(rows_of([list(row) for row in exists]), change, before)
    return record_of(torch.zeros(len(labels), 1 + len(exists[0]), *labels.shape[-2:]), labels, [note])


def test_the_target_is_the_change_to_the_true_mask_and_its_negative():
    labels = torch.zeros(1, 2, 4, dtype=torch.long)
    labels[0, :, 1:3] = 1  # at half the size: columns of 0.5 and 0.5
    before = torch.tensor([[[[0.25, 0.75]]]])
    change = torch.tensor([[[[0.1, 0.0]], [[0.0, -0.25]]]])  # background, object
    target = [0.5 - 0.25, 0.5 - 0.75]
    expected = ((0.1 + target[0]) ** 2 + (0.0 + target[1]) ** 2 + target[0] ** 2 + (-0.25 - target[1]) ** 2) / 4
    assert float(TransitionLoss()(record(labels, change, before))) == pytest.approx(expected)


def test_softmax_compares_what_cannot_be_negative():
    labels, before = torch.ones(1, 1, 1, dtype=torch.long), torch.full((1, 1, 1, 1), 0.3)
    change = torch.tensor([0.0, 1.0]).view(1, 2, 1, 1)
    share = 1 / (1 + torch.e)
    expected = ((share + 0.7) ** 2 + (1 - share - 0.7) ** 2) / 2
    assert float(TransitionLoss("softmax")(record(labels, change, before))) == pytest.approx(expected)


def test_cells_that_touch_void_do_not_count():
    labels = torch.zeros(1, 2, 6, dtype=torch.long)
    labels[0, 0, 1] = VOID
    change = torch.zeros(1, 2, 1, 3)
    change[..., 0] = 100
    change[..., 1] = 1
    assert float(TransitionLoss()(record(labels, change, torch.zeros(1, 1, 1, 3)))) == pytest.approx(0.5)
    labels[:] = VOID
    assert float(TransitionLoss()(record(labels, change, torch.zeros(1, 1, 1, 3)))) == 0


def test_each_row_has_its_own_object_and_frames_count_alike():
    labels = torch.tensor([[[1, 2]], [[0, 0]]])
    change = torch.zeros(3, 2, 1, 2)
    note = MaskTransition(rows_of([[True, True], [True, False]]), change, torch.zeros(3, 1, 1, 2))
    frames = record_of(torch.zeros(2, 3, 1, 2), labels, [note])
    assert float(TransitionLoss()(frames)) == pytest.approx(2 / 6)  # a cell of two in each of two rows of three
    empty = torch.zeros(1, 1, 2, dtype=torch.long)
    frames.frames.append(record(empty, change[:1] + 1, torch.zeros(1, 1, 1, 2)).frames[0])
    assert float(TransitionLoss()(frames)) == pytest.approx((2 / 6 + 1) / 2)


def test_unknown_activations_are_refused():
    with pytest.raises(ConfigError, match="activation must be None or 'softmax', got 'tanh'"):
        TransitionLoss(activation="tanh")
