"""TemplateMaskLoss and the NLL of two classes by hand."""

import math

import pytest
import torch
import torch.nn.functional as F

from tests.contracts.parts import record_of, rows_of
from vosplug.models.losses import ObjectBCE, TemplateMaskLoss
from vosplug.structures import RowLogits, TemplateMask

VOID = 255


def test_cross_entropy_at_the_stride_of_the_template():
    labels = torch.zeros(1, 2, 6, dtype=torch.long)
    labels[0, 0, 2], labels[0, 0, 4] = 1, VOID  # what the nearest neighbour takes: columns 0, 2, 4 of row 0
    logits = torch.tensor([0.5, -2.0, 9.0]).view(1, 1, 1, 3)
    record = record_of(torch.zeros(1, 2, 2, 6), labels, [TemplateMask(rows_of([[True]]), logits)])
    expected = (math.log1p(math.exp(0.5)) + math.log1p(math.exp(2.0))) / 2
    assert float(TemplateMaskLoss()(record)) == pytest.approx(expected)


def test_rows_are_those_of_their_objects():
    labels = torch.tensor([[[1, 2]]])
    logits = torch.tensor([[3.0, -3.0], [-3.0, 3.0]]).view(2, 1, 1, 2)
    right = record_of(torch.zeros(1, 3, 1, 2), labels, [TemplateMask(rows_of([[True, True]]), logits)])
    wrong = record_of(torch.zeros(1, 3, 1, 2), labels, [TemplateMask(rows_of([[True, True]]), logits.flip(0))])
    assert float(TemplateMaskLoss()(right)) == pytest.approx(math.log1p(math.exp(-3)))
    assert float(TemplateMaskLoss()(wrong)) == pytest.approx(math.log1p(math.exp(3)))


def test_of_a_difference_of_two_logits_the_entropy_is_the_negative_log_likelihood():
    draw = torch.Generator().manual_seed(0)
    two, labels = torch.randn(1, 2, 4, 5, generator=draw), torch.randint(0, 2, (1, 4, 5), generator=draw)
    labels[0, 0] = VOID
    note = RowLogits(rows_of([[True]]), two[:, 1:] - two[:, :1])
    expected = F.nll_loss(two.log_softmax(dim=1), labels, ignore_index=VOID)
    assert float(ObjectBCE()(record_of(torch.zeros(1, 2, 4, 5), labels, [note]))) == pytest.approx(float(expected))
