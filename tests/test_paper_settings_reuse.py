"""Every row of the tables and figures of the reuse gate's paper is a config with the published numbers."""

import pytest

from tests.test_paper_settings import value_at
from vosplug.utils.configs import load_config

ADAM = {"optim_wrapper.optimizer.type": "Adam", "optim_wrapper.optimizer.amsgrad": True,
        "optim_wrapper.optimizer.weight_decay": 1e-5, "param_scheduler.0.type": "MultiStepLR",
        "param_scheduler.0.gamma": 0.1, "train_dataloader.dataset.datasets.0.size": (480, 854),
        "train_dataloader.dataset.datasets.0.jump_rule": "anywhere",
        "train_dataloader.dataset.datasets.0.min_pixels": 100,
        "train_dataloader.dataset.datasets.0.max_objects": 1, "train_dataloader.dataset.repeats": [16, 1]}


def epochs(batch, draws=8 * 138 + 4_000):
    """The published schedule in iterations: 260 epochs of that many clips, a tenth from the 127th and 254th on."""
    return {"train_dataloader.batch_size": batch, "train_cfg.max_iters": 260 * (draws // batch),
            "param_scheduler.0.milestones": [epoch * (draws // batch) for epoch in (127, 254)]}


def frtm(at, *, fast, count_first):
    """Target models and refiner of FRTM or FRTM-fast, which stand at ``at`` of the config."""
    long, first = [5, 10, 10, 10, 10], f"{at}.memory."
    own = {"channels": 96, "init_iters": long[:4] if fast else long, "update_iters": [5] if fast else [10],
           "update_every": 8, "capacity": 80, "learning_rate": 0.1, "filter_reg": [1e-4, 1e-2],
           "precond": [1e-4, 1e-2], "forgetting": 750, "pixel_weighting": "hinge", "count_first": count_first,
           "augmentation.num_aug": 5, "min_pixels": 10, "keep_first": False}
    clips = {"channels": 32, "init_iters": long, "update_iters": [10], "update_every": None, "forgetting": 75,
             "filter_reg": [1e-5, 1e-4], "precond": [1e-5, 1e-4], "pixel_weighting": "none",
             "augmentation.num_aug": 15}
    return {**{first + name: value for name, value in own.items()},
            **{f"{first}train.{name}": value for name, value in clips.items()},
            f"{at}.decoder.channels": 64, f"{at}.backbone.depth": 18 if fast else 101,
            f"{at}.backbone.frozen_stages": 4,
            f"{at}.preprocessor.divisor": 1, f"{at}.losses.0.type": "ObjectBCE"}


FRTM = {**ADAM, **frtm("model", fast=False, count_first=False), **epochs(16), "clip.length": 3,
        "optim_wrapper.optimizer.lr": 1e-3, "model.protocol": "davis"}
FRTM_FAST = {**FRTM, **frtm("model", fast=True, count_first=False)}
SIX = {**FRTM_FAST, **epochs(8), "clip.length": 6, "optim_wrapper.optimizer.lr": 5e-4}
GATE = {**ADAM, **epochs(8), "clip.length": 6, "optim_wrapper.optimizer.lr": 5e-4, "model.tau": 0.7,
        "model.mode": "translate", "model.max_reuse": None, "model.on_memory_frame": "reuse",
        "optim_wrapper.paramwise_cfg.custom_keys": {"gate.": {"decay_mult": 0.0}}, "model.losses.0.type": "DeltaLoss"}
OWN_GATE = {"model.gate.type": "ReuseGate", "model.gate.outputs": 2, "model.gate.initial_rate": 0.15,
            "model.gate.noise": "none"}
IOU = {"model.losses.1.type": "GateProbabilityLoss", "model.losses.1.m1": 0.0, "model.losses.1.m2": 0.0,
       "model.losses.1.form": "hinge", "model.losses.1.ramp": 120 / 260, "model.losses.1.empty_iou": 0.0}
G_FRTM = {**GATE, **OWN_GATE, **IOU, **frtm("model.segmentor", fast=False, count_first=True)}
G_FAST = {**GATE, **OWN_GATE, **IOU, **frtm("model.segmentor", fast=True, count_first=True)}
PLANNED = {**GATE, **frtm("model.segmentor", fast=True, count_first=True)}
YOUTUBE_2018 = {"test_dataset.type": "YouTubeVOSDataset", "test_dataset.year": 2018}
REUSE = {  # Learning Dynamic Network Using a Reuse Gate Function: tables 1 to 3, figures 7 to 9
    "frtm_r101": FRTM, "frtm_fast_r18": FRTM_FAST,
    "frtm_r101_ytvos": {**FRTM, "model.protocol": "youtube_vos", "model.memory.formula": "fletcher_reeves",
                        "model.memory.reset_direction": True, "model.decoder.upsampling": "bicubic"},
    "reuse/frtm_fast_six_r18": SIX, "reuse/frtm_fast_narrow_r18": {**SIX, "model.decoder.channels": 56},
    "g_frtm_r101": G_FRTM, "g_frtm_fast_r18": G_FAST,
    **{f"reuse/margin_{round(100 * m1):03d}_{round(100 * m2):03d}_r18": {
        **G_FAST, "model.losses.1.m1": m1, "model.losses.1.m2": m2}
       for m1, m2 in ((0.35, 0.0), (0.35, 0.2), (0.35, 0.4), (0.7, 0.2), (1.0, 0.0), (1.0, 0.2))},
    "reuse/rate_loss_r18": {**PLANNED, **OWN_GATE, "model.losses.1.type": "GateRateLoss", "model.losses.1.target": 0.5},
    "reuse/oracle_r18": {**PLANNED, "model.gate.type": "ScheduledGate", "model.gate.table": {}},
    "reuse/scheduled_r18": {**PLANNED, "model.gate.type": "ScheduledGate", "model.gate.every": 2},
    "reuse/random_r18": {**PLANNED, "model.gate.type": "RandomGate", "model.gate.rate": 0.5},
    "reuse/change_r18": {**PLANNED, "model.gate.type": "ChangeGate"},
    "reuse/ytvos_r18": {**G_FAST, **YOUTUBE_2018},
    "reuse/ytvos_star_r18": {
        **{name: value for name, value in G_FAST.items() if "dataset.datasets" not in name and "repeats" not in name},
        **YOUTUBE_2018, **epochs(8, draws=4_000), "model.losses.1.m1": 0.5,
        "train_dataloader.dataset.videos.type": "YouTubeVOSDataset", "train_dataloader.dataset.size": (480, 854)},
    **{f"g_{name}": {**GATE, **IOU, "model.segmentor.type": inner, "model.translator.hidden": 64} for name, inner in (
        ("stcn_r50", "STCN"), ("xmem_r50", "XMem"), ("spvos_r50", "STCN"), ("deaott", "DeAOT"),
        ("ttvos_r50", "TTVOS"))},
}


@pytest.mark.parametrize("config", REUSE)
def test_a_config_has_the_numbers_of_its_row(config):
    loaded = load_config(config)
    for name, expected in REUSE[config].items():
        found = value_at(loaded, name)
        if isinstance(found, (list, tuple)):
            found, expected = list(found), list(expected)
        assert found == expected, name


def test_iterations_that_follow_from_epochs():
    assert epochs(8)["train_cfg.max_iters"] == 165_880 and epochs(16)["train_cfg.max_iters"] == 82_940
    assert epochs(8, draws=4_000)["train_cfg.max_iters"] == 130_000


def test_every_config_of_the_folder_is_a_row_or_its_small_twin(root):
    names = {path.stem for path in (root / "configs/reuse").glob("*.py")}
    assert {name for name in names if not name.startswith("small_")} == {
        name.removeprefix("reuse/") for name in REUSE if name.startswith("reuse/")}
