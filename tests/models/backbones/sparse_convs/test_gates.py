"""How gates draw in training: share of the drawn, temperature of the gradient, sites that are always computed."""

import pytest
import torch
from torch import nn

from vosplug.models.backbones.sparse_convs.gates import (
    COMPUTE,
    REUSE,
    SKIP,
    BinaryGate,
    TripleGate,
    gumbel_sigmoid,
    gumbel_softmax_policy,
)


def test_a_binary_gate_computes_with_the_probability_of_its_logit():
    torch.manual_seed(0)
    drawn = gumbel_sigmoid(torch.full((1, 1, 200, 200), 1.0), tau=0.7)
    assert float(drawn.mean()) == pytest.approx(1 / (1 + torch.e ** -1), abs=0.01)
    assert set(drawn.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("tau", [0.5, 1.0, 2.0])
def test_the_gradient_of_a_binary_gate_is_that_of_the_soft_sample(tau):
    logits = torch.zeros(1, 1, 50, 50, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(3)
    drawn = gumbel_sigmoid(logits, tau)
    drawn.sum().backward()
    torch.manual_seed(3)
    uniform = torch.rand_like(logits).clamp(1e-7, 1 - 1e-7)
    soft = torch.sigmoid((uniform.log() - (1 - uniform).log()) / tau)
    torch.testing.assert_close(logits.grad, soft * (1 - soft) / tau)
    torch.testing.assert_close(drawn.detach(), (soft >= 0.5).double())


@pytest.mark.parametrize("tau", [0.5, 2.0])
def test_the_gradient_of_a_triple_gate_depends_on_its_temperature(tau):
    logits = torch.zeros(1, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(1)
    gumbel_softmax_policy(logits, tau)[:, COMPUTE].sum().backward()
    torch.manual_seed(1)
    noise = -torch.empty_like(logits).exponential_().log()
    soft = ((noise - torch.tensor(3.0).log()) / tau).softmax(dim=1).detach()
    compute = soft[:, COMPUTE, None]
    expected = compute * (torch.eye(3, dtype=torch.float64)[COMPUTE][:, None, None] - soft) / tau
    torch.testing.assert_close(logits.grad, expected)


def test_rows_that_are_not_known_are_computed():
    conv = nn.Conv2d(4, 4, 3, padding=1)
    known = torch.tensor([True, False])
    torch.manual_seed(0)
    for gate, logits in ((TripleGate(conv), torch.full((2, 3, 6, 6), 0.0)),
                         (BinaryGate(conv, REUSE), torch.full((2, 1, 6, 6), -50.0))):
        choice = gate.draw(logits, 1.0, known)
        assert (choice.policy[1] == COMPUTE).all()
        assert (choice.policy[0] != COMPUTE).any()
        assert float(choice.chosen()[1].min()) == 1


def test_a_binary_gate_does_otherwise_what_it_is_told():
    conv = nn.Conv2d(4, 4, 1)
    for otherwise in (SKIP, REUSE):
        gate = BinaryGate(conv, otherwise)
        logits = torch.tensor([-1.0, 0.0, 1.0]).view(1, 1, 1, 3)
        assert gate.best(logits)[0, 0].tolist() == [otherwise, COMPUTE, COMPUTE]
