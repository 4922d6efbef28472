"""Every row of SST's tables: its config is built in full, and a narrow form of it learns; what is trained with."""

import copy

import pytest
import torch
from mmengine.config import ConfigDict
from torch import nn

from tests.contracts.helpers import CONFIGS, training_batch
from vosplug.engine import split_stages
from vosplug.engine.optim import build_optim_wrapper, build_schedulers
from vosplug.registry import SEGMENTORS
from vosplug.utils.configs import load_config

from .test_plain_sst import NARROW

HEADS = ("sst_r101", "cfbi_r101", "sst_small", "cfbi_small")
ROWS = [*HEADS, *(f"sst/{path.stem}" for path in sorted((CONFIGS / "sst").glob("*.py")))]
TINY = {"model.encoder.backbone.width": 0.1, "model.encoder.channels": 24, "model.encoder.neck.channels": 24}


def config(name):
    return load_config(CONFIGS / f"{name}.py")


def trained(model, steps=2, length=4):
    """Losses of some steps of plain gradient descent, half of the training being over."""
    model.train()
    for module in model.modules():
        if hasattr(module, "set_progress"):
            module.set_progress(50, 100)
    optimizer, losses = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-3), []
    for step in range(steps):
        batch = training_batch(model, clips=1, length=length, size=33, seed=step)
        loss = sum(value for name, value in model(**batch, mode="loss").items() if name.startswith("loss"))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("name", ROWS)
def test_rows_are_built_and_train(name):
    cfg = config(name)
    with torch.device("meta"):
        whole = SEGMENTORS.build(copy.deepcopy(cfg.model))
    if "stcn" not in name and "small" not in name:
        assert 66.0e6 < sum(p.numel() for p in whole.parameters()) < 67.2e6
        cfg.merge_from_dict({key: value for key, value in NARROW.items() if "heads" not in key or "cfbi" not in name})
    elif "stcn" not in name:
        assert 0.3e6 < sum(p.numel() for p in whole.parameters() if p.requires_grad) < 0.7e6
        cfg.merge_from_dict(TINY)
    if "r50" in name:
        return  # the parts of full STCN are trained elsewhere, and its matching head in the small one
    torch.manual_seed(0)
    model = SEGMENTORS.build(cfg.model)
    before = copy.deepcopy(model.state_dict())
    losses = trained(model)
    moved = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert all(0 < loss < 100 for loss in losses)
    assert {"encoder", "matching_head", "decoder"} <= {key.split(".")[0] for key in moved} or "stcn" in name
    if "small" in name and "stcn" not in name:
        assert not any(key.startswith("encoder.backbone.") for key in moved)


@pytest.mark.slow
@pytest.mark.parametrize("name", HEADS[:2])
def test_the_full_size_trains_a_step_at_its_own_size(name):
    model = SEGMENTORS.build(config(name).model)
    model.train()
    batch = training_batch(model, clips=1, length=3, size=465)
    losses = model(**batch, mode="loss")
    losses["loss_ce"].backward()
    assert 0 < losses["loss_ce"].item() < 100
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("where", ["Q", "QD"])
def test_a_sparse_backbone_trains(where):
    cfg = config("sst_small")
    cfg.merge_from_dict(TINY)
    cfg.model.sparse = ConfigDict(conv=dict(type="TripleSparseConv"), policy=dict(type="Mixed"), where=where,
                                  losses=[dict(type="SparsityLoss", weight=0.1)])
    torch.manual_seed(0)
    model = SEGMENTORS.build(cfg.model)
    gates = {name: p.detach().clone() for name, p in model.named_parameters() if ".gate" in name and p.requires_grad
             and "encoder.backbone" in name}
    assert gates
    assert all(0 < loss < 100 for loss in trained(model))
    after = dict(model.named_parameters())
    assert any(not torch.equal(after[name], value) for name, value in gates.items())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name, stage, base, steps", [
    ("sst_r101", 0, 0.01, 100_000), ("sst/davis", 0, 0.01, 25_000), ("sst/cfbi_youtube_davis", 0, 0.01, 100_000),
    ("sst/cfbi_youtube_davis", 1, 0.006, 50_000)])
def test_rates_rise_for_a_thousand_steps_and_fall_to_the_floor(name, stage, base, steps):
    stage = split_stages(config(name))[stage]
    assert stage.max_iters == steps
    wrapper = build_optim_wrapper(nn.Linear(1, 1), stage.cfg.optim_wrapper)
    (group,) = wrapper.optimizer.param_groups
    assert (group["momentum"], group["nesterov"], group["weight_decay"]) == (0.9, True, 1.5e-4)
    assert stage.cfg.optim_wrapper.clip_grad == dict(max_norm=5.0) and not stage.cfg.optim_wrapper.get("no_decay")
    (scheduler,) = build_schedulers(stage.cfg.param_scheduler, wrapper, steps)

    def rate(step):
        scheduler.last_step = step
        (value,) = scheduler._get_value()
        return value

    half = base * (1 - (steps // 2 - 1000) / (steps - 1000 + 1)) ** 0.9
    want = {0: 1e-5, 500: base / 2, 1000: base, steps // 2: half, steps - 1: 1e-5}
    assert {step: rate(step) for step in want} == pytest.approx(want)


@pytest.mark.parametrize("name", HEADS[:2])
def test_what_is_trained_with_in_numbers(name):
    cfg = config(name)
    model = SEGMENTORS.build(dict(cfg.model, encoder=dict(
        cfg.model.encoder, channels=8, backbone=dict(cfg.model.encoder.backbone, depth=None, block="basic",
                                                      blocks=(1, 1, 1), widths=(8, 8, 16), multi_grid=None))))
    for part, share in ((0.0, 1.0), (0.25, 0.575), (0.5, 0.15), (1.0, 0.15)):
        for module in model.modules():
            if hasattr(module, "set_progress"):
                module.set_progress(int(part * 100_000), 100_000)
        assert model.losses[0].share == pytest.approx(share) and model.teacher_forcing == (part < 0.5)
    data = cfg.train_dataloader.dataset
    assert (data.jump_rule, data.transforms, data.size, data.max_objects) == ("cfbi", "cfbi", 465, 5)
    assert (data.min_pixels, data.first_pixels, data.complete_first) == (101, 201, True)
    assert cfg.clip == dict(length=5, max_skip=3) and config("sst/davis").clip.length == 7
    assert cfg.model.given_frames == 2 and cfg.model.losses[0].count_void and len(model.losses) == 1
    assert cfg.test_session == dict(max_long_side=1040)
