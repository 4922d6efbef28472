"""What AOT and DeAOT train with, in numbers: rates, decay, losses, the switch to own predictions, the average."""

import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.model import MomentumAnnealingEMA
from torch import nn

from vosplug.engine import EMAHook, WarmupPolyLR, split_stages
from vosplug.engine.optim import build_optim_wrapper, build_schedulers
from vosplug.models.losses import SoftJaccardLoss
from vosplug.registry import SEGMENTORS
from vosplug.utils.errors import ConfigError

NAMES = [f"{prefix}{family}{size}" for family in ("aot", "deaot") for prefix, sizes in (("", "tsbl"), ("r50_", "l"))
         for size in sizes]


def stages(root, name):
    cfg = Config.fromfile(root / "configs" / f"{name}.py")
    cfg.work_dir = "unused"
    return split_stages(cfg)


def built(root, name, number):
    """Model, config and optimiser of a stage, without weights to load."""
    cfg = stages(root, name)[number].cfg
    model = SEGMENTORS.build(copy.deepcopy(cfg.model))
    return model, cfg, build_optim_wrapper(model, cfg.optim_wrapper)


def group_of(model, wrapper):
    """Name of a weight -> its parameter group."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {names[id(p)]: group for group in wrapper.optimizer.param_groups for p in group["params"]}


@pytest.mark.parametrize("name", NAMES)
def test_all_models_have_both_stages(root, name):
    static, main = stages(root, name)
    assert (static.name, main.name, static.init, main.init) == ("static", "main", None, "previous")
    for stage, probability, labels, until in ((static, 1.0, 1.0, 0.1), (main, 0.3, 0.5, 1.0)):
        cfg = stage.cfg
        assert stage.max_iters == 100_000 and cfg.clip.length == 5 and cfg.train_dataloader.batch_size == 4
        assert cfg.optim_wrapper.clip_grad.max_norm == 5.0 and cfg.optim_wrapper.optimizer.type == "AdamW"
        assert cfg.model.labels_in_memory == labels and cfg.model.losses[2].get("until", 1.0) == until
        data = cfg.train_dataloader.dataset
        assert (data.probability, data.max_objects, data.min_pixels) == (probability, 10, 101)
        assert data.dataset.each == dict(size=465, transforms="deaot" if "deaot" in name else "aot")
        assert cfg.model.memory.get("train_gap", 9999) == (2 if name.endswith("l") else 9999)
        assert cfg.model.encoder.backbone.frozen_stages == 1
    assert len(static.cfg.train_dataloader.dataset.dataset.datasets) == 6
    davis, youtube = main.cfg.train_dataloader.dataset.dataset.datasets
    assert main.cfg.train_dataloader.dataset.dataset.repeats == [5, 1] and youtube.videos.year == 2019
    assert [main.cfg.clip.max_skip // data.get("skip_unit", 1) for data in (davis, youtube)] == [12, 3]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name, number, others, backbone", [
    ("deaott", 1, (2.00e-5, 1.10e-4, 2.00e-4, 1.165e-4, 2.00e-5), (2.00e-5, 2.90e-5, 3.80e-5, 2.965e-5, 2.00e-5)),
    ("aott", 0, (2.00e-5, 2.10e-4, 4.00e-4, 2.236e-4, 2.00e-5), (2.00e-5, 3.90e-5, 5.80e-5, 4.036e-5, 2.00e-5)),
    ("r50_deaotl", 1, (1.00e-5, 1.05e-4, 2.00e-4, 1.118e-4, 1.00e-5), (1.00e-5, 1.95e-5, 2.90e-5, 2.018e-5, 1.00e-5)),
])
def test_learning_rates(root, name, number, others, backbone):
    model, cfg, wrapper = built(root, name, number)
    (scheduler,) = build_schedulers(cfg.param_scheduler, wrapper, 100_000)
    groups = group_of(model, wrapper)
    weight = "encoder.backbone." + ("layer2.0.conv1.weight" if "r50" in name else "features.4.conv.0.0.weight")
    for which, expected in (("encoder.proj.weight", others), (weight, backbone)):
        base = groups[which]["initial_lr"]
        found = [scheduler.least + (base - scheduler.least) * scheduler.share(at)
                 for at in (0, 2_500, 5_000, 52_500, 99_999)]
        assert found == pytest.approx(expected, rel=2e-3)


@pytest.mark.filterwarnings("ignore")
def test_the_schedule_sets_rates_and_goes_on_after_a_resume():
    def start():
        wrapper = build_optim_wrapper(nn.Linear(1, 1), dict(optimizer=dict(type="SGD", lr=1.0)))
        return wrapper, build_schedulers([dict(type="WarmupPolyLR", least=0.1, warmup=0.1)], wrapper, 100)[0]

    wrapper, scheduler = start()
    rates, kept = [], None
    for iteration in range(100):
        rates.append(wrapper.get_lr()["lr"][0])
        if iteration == 49:
            kept = copy.deepcopy(scheduler.state_dict()), wrapper.optimizer.state_dict()
        scheduler.step()
    assert rates[0] == 0.1 and rates[5] == pytest.approx(0.55) and rates[10] == 1.0
    assert rates[55] == pytest.approx(0.1 + 0.9 * (1 - 45 / 91) ** 0.9) and rates[99] == pytest.approx(0.1, abs=0.04)
    wrapper, scheduler = start()
    wrapper.optimizer.load_state_dict(kept[1])
    scheduler.load_state_dict(kept[0])
    assert [wrapper.get_lr()["lr"][0] for _ in range(50, 100) if scheduler.step() is None] == rates[50:]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("options, text", [(dict(warmup=1.0), "warmup"), (dict(least=-1), "least"),
                                           (dict(power=0), "power")])
def test_faults_of_the_schedule(options, text):
    wrapper = build_optim_wrapper(nn.Linear(1, 1), dict(optimizer=dict(type="SGD", lr=1.0)))
    with pytest.raises(ConfigError, match=text):
        WarmupPolyLR(wrapper, **options)


@pytest.mark.parametrize("name, number, decay", [("aott", 1, 0.07), ("deaott", 0, 0.03), ("r50_aotl", 1, 0.07)])
def test_decay_by_name(root, name, number, decay):
    model, _, wrapper = built(root, name, number)
    groups = group_of(model, wrapper)
    trained = {key: p for key, p in model.named_parameters() if p.requires_grad}
    assert groups.keys() == trained.keys() and "identity_bank.conv.weight" in groups
    free = {key for key, group in groups.items() if group["weight_decay"] == 0}
    exempt = {key for key, p in trained.items() if p.ndim == 1 or "offset_values" in key or "decoder.conv_out" in key}
    assert free == exempt and (any("offset_values" in key for key in free) == ("deaot" not in name))
    assert {group["weight_decay"] for key, group in groups.items() if key not in free} == {decay}
    slow = {key for key, group in groups.items() if group["lr"] < max(g["lr"] for g in groups.values())}
    assert slow == {key for key in groups if key.startswith("encoder.backbone.")}


def test_progress_of_losses_and_of_the_memory(root):
    model, _, _ = built(root, "aott", 1)
    ce, _, reference = model.losses
    seen = {}
    for at in (0, 25_000, 49_999, 50_000, 75_000, 100_000):
        for module in model.modules():
            if hasattr(module, "set_progress"):
                module.set_progress(at, 100_000)
        trainable = {p.requires_grad for p in model.identity_bank.parameters()}
        seen[at] = (ce.share, reference.factor, model.teacher_forcing, trainable)
    assert [seen[at][0] for at in (0, 25_000, 50_000)] == pytest.approx([1, 0.575, 0.15])
    assert [seen[at][1] for at in (0, 25_000, 75_000, 100_000)] == pytest.approx([1, 0.75, 0.25, 0])
    assert seen[49_999][2:] == (True, {True}) and seen[50_000][2:] == (False, {False})


def test_static_images_keep_labels_in_the_memory(root):
    model, _, _ = built(root, "deaott", 0)
    reference = model.losses[2]
    for at, factor in ((0, 1.0), (5_000, 0.5), (10_000, 0.0), (99_999, 0.0)):
        model.set_progress(at, 100_000)
        reference.set_progress(at, 100_000)
        assert model.teacher_forcing and reference.factor == pytest.approx(factor)
        assert reference.reads_references == (factor > 0)


def test_soft_jaccard_of_four_pixels():
    logits = torch.logit(torch.tensor([0.9, 0.6, 0.2, 0.1], dtype=torch.float64))
    pair = torch.stack([torch.zeros(4, dtype=torch.float64), logits]).view(1, 2, 1, 4)
    labels = torch.tensor([1, 1, 0, 0]).view(1, 1, 4)
    assert SoftJaccardLoss().pixels(pair, labels).item() == pytest.approx((0.3478 + 0.3200) / 2, abs=1e-4)


def test_the_average_moves_by_nine_parts_in_nine_and_the_updates(root):
    options = stages(root, "deaott")[1].cfg.default_hooks.ema
    hook = EMAHook(**options)
    assert (hook.ema_cfg["momentum"], hook.ema_cfg["gamma"]) == (1e-4, 9)
    model = nn.Linear(1, 1, bias=False)
    average = MomentumAnnealingEMA(model, momentum=1e-4, gamma=9)
    average.update_parameters(model)
    expected = model.weight.item()
    for updates in range(1, 6):
        nn.init.constant_(model.weight, float(updates))
        average.update_parameters(model)
        kept = updates / (9 + updates)
        expected = kept * expected + (1 - kept) * updates
        assert average.module.weight.item() == pytest.approx(expected)
