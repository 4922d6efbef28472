"""Learning rates over a run, accumulation, mixed precision and parameter groups."""

import logging

import pytest
import torch
from mmengine.config import Config
from torch import nn

from vosplug.engine.optim import VOSOptimWrapper, build_optim_wrapper, build_schedulers
from vosplug.utils.errors import ConfigError

ADAMW = dict(optimizer=dict(type="AdamW", lr=2e-5, weight_decay=0.05))


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 1, 3))


def rates(wrapper, schedulers, at: list[int]) -> list[float]:
    """Learning rate of the iterations ``at``."""
    found = []
    for iteration in range(max(at) + 1):
        if iteration in at:
            found.append(wrapper.get_lr()["lr"][0])
        for scheduler in schedulers:
            scheduler.step()
    return found


@pytest.mark.filterwarnings("ignore")
def test_the_schedule_of_spvos(root):
    cfg = Config.fromfile(root / "configs/_base_/schedules/spvos_160k.py")
    assert [(s["begin"], s["end"]) for s in cfg.param_scheduler] == [(0, 8_000), (32_000, 160_000)]
    assert cfg.train_cfg.max_iters == 160_000
    wrapper = build_optim_wrapper(nn.Linear(1, 1), cfg.optim_wrapper)
    shorter = [{**s, "begin": s["begin"] // 50, "end": s["end"] // 50} for s in cfg.param_scheduler]
    schedulers = build_schedulers(shorter, wrapper, 3_200)
    found = rates(wrapper, schedulers, [0, 80, 160, 639, 640 + 1280, 3_200])
    assert found == pytest.approx([1e-6, 1.05e-5, 2e-5, 2e-5, 1.05e-5, 1e-6], rel=1e-2)
    assert wrapper.optimizer.param_groups[0]["weight_decay"] == 0.05


@pytest.mark.filterwarnings("ignore")
def test_fractions_are_of_the_run():
    wrapper = build_optim_wrapper(nn.Linear(1, 1), dict(optimizer=dict(type="SGD", lr=1.0)))
    given = [dict(type="CosineAnnealingLR", begin=0.5, eta_min_ratio=0.1)]
    found = rates(wrapper, build_schedulers(given, wrapper, 100), [0, 50, 75, 100])
    assert found == pytest.approx([1.0, 1.0, 0.55, 0.1], abs=0.02)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("warmup", [0.2, 4])
def test_a_warm_up_is_a_share_of_the_run_or_a_number(warmup):
    """20 iterations: 4 of them rise from 0.1 to 1, then (1 - i / 17) to the first power falls back to 0.1."""
    wrapper = build_optim_wrapper(nn.Linear(1, 1), dict(optimizer=dict(type="SGD", lr=1.0)))
    given = [dict(type="WarmupPolyLR", least=0.1, power=1.0, warmup=warmup)]
    found = rates(wrapper, build_schedulers(given, wrapper, 20), [0, 1, 3, 4, 12, 19])
    shares = [0, 1 / 4, 3 / 4, 1, 1 - 8 / 17, 1 - 15 / 17]
    assert found == pytest.approx([0.1 + 0.9 * share for share in shares])


@pytest.mark.parametrize("schedule, text", [
    (dict(type="CosineLR"), "unknown type 'CosineLR'"),
    (dict(type="LinearLR", start_facor=0.1), "did you mean 'start_factor'"),
    (dict(type="LinearLR", by_epoch=True), "counts iterations"),
    (dict(type="LinearLR", begin=1.5), "fraction"),
    ("LinearLR", "must be a dict"),
])
def test_faults_of_schedules(schedule, text):
    wrapper = build_optim_wrapper(nn.Linear(1, 1), ADAMW)
    with pytest.raises(ConfigError, match=f"(?i){text}"):
        build_schedulers([schedule], wrapper, 100)


@pytest.mark.parametrize("settings, text", [
    (dict(), "needs optimizer"),
    (dict(optimizer=dict(type="AdamX", lr=1)), "did you mean 'Adam"),
    (dict(optimizer=dict(type="AdamW", lrr=1)), "did you mean 'lr'"),
    (dict(**ADAMW, clip_gard=1), "did you mean 'clip_grad'"),
    (dict(**ADAMW, amp="bf8"), "unknown amp"),
    (dict(**ADAMW, amp="fp16"), "needs a GPU"),
    (dict(**ADAMW, accumulative_counts=0), "at least 1"),
    (dict(optimizer=dict(type="AdamW", lr=-1.0)), "Invalid learning rate"),
])
def test_faults_of_the_optimizer(settings, text):
    with pytest.raises(ConfigError, match=f"(?i){text}"):
        build_optim_wrapper(nn.Linear(1, 1), settings)


def test_no_decay_on_vectors_and_few_groups():
    wrapper = build_optim_wrapper(net(), dict(**ADAMW, no_decay=True))
    groups = wrapper.optimizer.param_groups
    assert len(groups) == 2
    decayed = {len(p.shape) for g in groups if g["weight_decay"] > 0 for p in g["params"]}
    free = {len(p.shape) for g in groups if g["weight_decay"] == 0 for p in g["params"]}
    assert decayed == {4} and free == {1}
    assert sum(len(g["params"]) for g in groups) == len(list(net().parameters()))


def test_learning_rate_by_name():
    settings = dict(**ADAMW, paramwise_cfg=dict(custom_keys={"3": dict(lr_mult=10.0)}))
    groups = build_optim_wrapper(net(), settings).optimizer.param_groups
    assert sorted(g["lr"] for g in groups) == pytest.approx([2e-5, 2e-4])


def test_names_that_no_weight_has_are_told(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("vosplug"), "propagate", True)
    keys = {"3": dict(lr_mult=10.0), "gaet": dict(lr_mult=2.0)}
    build_optim_wrapper(net(), dict(**ADAMW, paramwise_cfg=dict(custom_keys=keys)))
    assert [record.message for record in caplog.records if record.name == "vosplug"] == [
        "optim_wrapper.paramwise_cfg.custom_keys: 'gaet' is in the name of no weight, and has no effect"]


def test_accumulation_equals_a_larger_batch():
    """Two iterations of two samples move the weights like one of four; a rest at the end is averaged over its own."""
    x = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    results = []
    for counts, chunks in ((1, [x[:4], x[4:]]), (2, [x[:2], x[2:4], x[4:]])):
        model = net().eval()
        settings = dict(optimizer=dict(type="SGD", lr=0.1, momentum=0.9), clip_grad=dict(max_norm=0.5))
        wrapper = build_optim_wrapper(model, dict(**settings, accumulative_counts=counts))
        wrapper.initialize_count_status(model, 0, len(chunks))
        for chunk in chunks:
            wrapper.update_params(model(chunk).square().mean())
        results.append(torch.cat([p.flatten() for p in model.parameters()]))
    torch.testing.assert_close(results[0], results[1], rtol=1e-5, atol=1e-7)


def test_bf16_on_the_cpu():
    model = net()
    wrapper = build_optim_wrapper(model, dict(**ADAMW, amp="bf16"))
    with wrapper.optim_context(model):
        out = model(torch.randn(2, 3, 8, 8))
    assert out.dtype == torch.bfloat16
    before = model[0].weight.clone()
    wrapper.update_params(out.float().square().mean())
    assert model[0].weight.dtype == torch.float32 and not torch.equal(before, model[0].weight)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_fp16_scale_is_saved():
    model = net().cuda()
    wrapper = build_optim_wrapper(model, dict(**ADAMW, amp="fp16", loss_scale=1024.0))
    with wrapper.optim_context(model):
        out = model(torch.randn(2, 3, 8, 8, device="cuda"))
    wrapper.update_params(out.float().square().mean())
    other = build_optim_wrapper(net().cuda(), dict(**ADAMW, amp="fp16"))
    other.load_state_dict(wrapper.state_dict())
    assert isinstance(other, VOSOptimWrapper) and other.scaler.get_scale() == 1024.0
