"""Losses on what sparse convolutions compute."""

import math

import pytest
import torch

from tests.contracts.helpers import TINY_R50, build_tiny, sparse, training_batch
from vosplug.models.losses import ComputationLoss, SparsityLoss
from vosplug.structures import Work
from vosplug.utils.errors import ConfigError


def work(*layers):
    """(name, cost, chosen, decided) of each layer, as the layers report it."""
    return [Work(name, cost, 0, decided, chosen=torch.tensor(float(chosen)), decided=decided)
            for name, cost, chosen, decided in layers]


def test_terms_are_the_equations():
    """Eq. 11 to 13, by hand: shares 0.5 and 0.05, costs 10 and 30, target 0.1 and closed bounds."""
    loss = SparsityLoss(target=0.1, beta=2.0)
    layer = (0.5 - 0.1) ** 2 + (0.1 - 0.05) ** 2
    share = (10 * 50 + 30 * 10) / (10 * 100 + 30 * 200)
    value = float(loss.work(work(("a", 10, 50, 100), ("b", 30, 10, 200))))
    assert value == pytest.approx(layer + 2 * (share - 0.1) ** 2)


def test_sites_of_a_layer_are_counted_over_all_frames():
    loss = SparsityLoss(target=0.1, beta=0.0)
    together = float(loss.work(work(("a", 10, 10, 100))))
    assert float(loss.work(work(("a", 10, 1, 40), ("a", 10, 9, 60)))) == pytest.approx(together, abs=1e-12)
    assert together == pytest.approx(0)


@pytest.mark.parametrize("done", [0.0, 0.1, 0.33, 1.0])
def test_bounds_open_by_a_squared_cosine(done):
    loss = SparsityLoss(target=0.2)
    loss.set_progress(int(done * 10_000), 10_000)
    closed = math.cos(min(done / 0.33, 1) * math.pi / 2) ** 2
    assert loss.upper == pytest.approx(1 - closed * 0.8) and loss.lower == pytest.approx(closed * 0.2)


def test_layers_are_free_in_the_end_and_the_network_is_not():
    loss = SparsityLoss(target=0.1)
    loss.set_progress(9_000, 10_000)
    assert float(loss.work(work(("a", 10, 0, 90), ("b", 10, 10, 10)))) == pytest.approx(0, abs=1e-9)
    assert float(loss.work(work(("a", 10, 45, 90), ("b", 10, 5, 10)))) == pytest.approx(0.16)


def test_frames_without_choice_do_not_count():
    dense = Work("a", 10, 0, 100)
    for loss in (SparsityLoss(), ComputationLoss()):
        assert float(loss.work([dense])) == 0
        assert float(loss.work([dense, *work(("a", 10, 30, 100))])) == float(loss.work(work(("a", 10, 30, 100))))


def test_computation_is_the_share_of_the_cost():
    assert float(ComputationLoss().work(work(("a", 10, 50, 100), ("b", 30, 10, 200)))) == pytest.approx(800 / 7000)


@pytest.mark.parametrize("options, message", [(dict(target=1.5), "target"), (dict(relax=0.0), "relax")])
def test_wrong_options_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        SparsityLoss(**options)


def test_they_come_through_the_loss_of_the_segmentor():
    model = build_tiny("_base_/stcn_r50_model.py", {**TINY_R50, **sparse("TripleSparseConv", "Mixed")}).train()
    losses = model(**training_batch(model), mode="loss")
    assert set(losses) == {"loss_ce", "loss_sparsity", "density", "iou"}
    assert 0 < float(losses["density"]) < 1 and losses["loss_sparsity"].requires_grad


def test_density_reaches_its_target():
    torch.manual_seed(0)
    model = build_tiny("_base_/stcn_r50_model.py", {**TINY_R50, **sparse("TripleSparseConv", "Mixed")}).train()
    model.losses[-1].weight = 20.0
    batch = training_batch(model)
    gates = [p for name, p in model.named_parameters() if ".gate." in name]
    optimizer = torch.optim.Adam(gates, lr=3e-2)
    densities = []
    for _ in range(40):
        losses = model(**batch, mode="loss")
        optimizer.zero_grad()
        losses["loss_sparsity"].backward()
        optimizer.step()
        densities.append(float(losses["density"]))
    assert densities[0] > 0.25 and sum(densities[-5:]) / 5 == pytest.approx(0.1, abs=0.04)
