"""Every number of the papers' sections on training and settings, against the loaded configs."""

from functools import reduce

import pytest

from vosplug.utils.configs import load_config

SPVOS = {  # SpVOS, sections III and IV-B
    "optim_wrapper.optimizer.type": "AdamW", "optim_wrapper.optimizer.lr": 2e-5,
    "optim_wrapper.optimizer.weight_decay": 0.05, "train_cfg.max_iters": 160_000, "train_dataloader.batch_size": 4,
    "param_scheduler.0.start_factor": 0.05, "param_scheduler.0.begin": 0, "param_scheduler.0.end": 8_000,
    "param_scheduler.1.begin": 32_000, "param_scheduler.1.end": 160_000, "param_scheduler.1.eta_min_ratio": 0.05,
    "param_scheduler.0.type": "LinearLR", "param_scheduler.1.type": "CosineAnnealingLR",
    "model.key_encoder.key_channels": 64, "model.key_encoder.context_channels": 512,
    "model.key_encoder.backbone.depth": 50, "model.value_encoder.backbone.depth": 18, "clip.length": 3,
    "model.memory.every": 5, "model.matching_head.top_k": None,
    "model.losses.0.type": "BootstrappedCE", "model.losses.0.top_p": 0.15,
    "stages.0.name": "main",  # DAVIS and YouTube-VOS alone
}
TRIPLE = {
    "model.sparse.conv.type": "TripleSparseConv", "model.sparse.conv.tau": 1.0, "model.sparse.where": "QD",
    "model.sparse.policy.type": "Mixed", "model.sparse.losses.0.type": "SparsityLoss",
    "model.sparse.losses.0.target": 0.1, "model.sparse.losses.0.weight": 1.0, "model.sparse.losses.0.beta": 1.0}
EFFICIENTVIS = {  # EfficientVIS, section 4.1; weights and the rest of the optimiser are QueryInst's
    "optim_wrapper.optimizer.type": "AdamW", "optim_wrapper.optimizer.lr": 2.5e-5,
    "optim_wrapper.optimizer.weight_decay": 1e-4, "optim_wrapper.clip_grad.max_norm": 0.1,
    "optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult": 0.1, "train_dataloader.batch_size": 1,
    "model.num_classes": 40, "model.queries.num_queries": 10, "model.num_interactions": 6,
    "model.loss.cls_weight": 2.0, "model.loss.l1_weight": 5.0, "model.loss.giou_weight": 2.0,
    "model.loss.dice_weight": 8.0, "model.loss.ce_weight": 1.0, "model.correspondence": True,
    "train_dataloader.dataset.size": (360, 640), "test_session.size": (360, 640), "train_dataloader.dataset.flip": 0.0}
EPOCHS_2019 = {"train_cfg.max_iters": int(33 * 2238 / 4 + 0.5), "param_scheduler.0.gamma": 0.1,
               "param_scheduler.0.milestones": [int(27 * 2238 / 4 + 0.5)]}
SETTINGS = {
    "stcn_r50": {"model.matching_head.top_k": 20, "stages.0.name": "static", "stages.0.max_iters": 300_000,
                 "stages.1.name": "main", "model.memory.every": 5},
    "spvos_r50": {**SPVOS, **TRIPLE},
    "spvos/dense_r50": {**SPVOS, "model.sparse": None},
    "spvos/triple_qd_ytvos_r50": {**SPVOS, **TRIPLE, "model.memory.every": 4, "test_dataset.type": "YouTubeVOSDataset"},
    "xmem_r50": {"model.matching_head.top_k": 30, "stages.0.name": "static", "clip.length": 4},
    "tri_xmem_r50": {**TRIPLE, "clip.length": 4, "model.memory.train_candidates": 2, "stages.0.name": "main",
                     "model.matching_head.top_k": 30, "model.losses": ["BootstrappedCE"]},
    **{f"spvos/{kind}_{name}_r50": {
        **SPVOS, "model.sparse.conv.type": conv, "model.sparse.where": where, "model.sparse.policy.type": policy,
        "model.sparse.losses.0.type": "ComputationLoss" if kind == "residual" else "SparsityLoss"}
       for kind, conv in (("static", "StaticSparseConv"), ("residual", "ResidualSparseConv"),
                          ("triple", "TripleSparseConv"))
       for name, where, policy in (("qdm", "QDM", "Fully"), ("fully_qd", "QD", "Fully"),
                                   ("semi_mixed_qdm", "QDM", "SemiMixed"), ("semi_mixed_qd", "QD", "SemiMixed"),
                                   ("qd", "QD", "Mixed"))},  # the 15 rows of Table II
    "efficientvis_r50": {**EFFICIENTVIS, **EPOCHS_2019, "model.clip_length": 36, "clip.length": 36,
                         "train_dataloader.dataset.pairs": False, "model.backbone.depth": 50},
    "efficientvis_r101": {**EFFICIENTVIS, **EPOCHS_2019, "model.backbone.depth": 101},
    "efficientvis_r50_t9": {**EFFICIENTVIS, **EPOCHS_2019, "model.clip_length": 9, "clip.length": 9,
                            "train_dataloader.dataset.pairs": True},
    "efficientvis_r50_t18": {**EFFICIENTVIS, **EPOCHS_2019, "model.clip_length": 18, "clip.length": 18,
                             "train_dataloader.dataset.pairs": True},
    "efficientvis_r50_multi_scale": {**EFFICIENTVIS, **EPOCHS_2019, "train_dataloader.dataset.short_sides":
                                     (288, 320, 352, 392, 416, 448, 480, 512)},
    "efficientvis_r50_ytvis21": {**EFFICIENTVIS, "train_cfg.max_iters": round(33 * 2985 / 4),
                                 "param_scheduler.0.milestones": [round(27 * 2985 / 4)],
                                 "train_dataloader.dataset.pairs": True, "test_dataset.year": 2021,
                                 "train_dataloader.dataset.videos.year": 2021},
}


def value_at(config, name: str):
    """The value of a dotted name; a default of the part where the config leaves it out."""
    def step(node, key):
        if isinstance(node, (list, tuple)):
            return node[int(key)]
        return node[key] if key in node else default_of(node, key)

    return reduce(step, name.split("."), config)


def default_of(node, key: str):
    import inspect

    from vosplug.utils.config_check import find_type

    return inspect.signature(find_type(node["type"])).parameters[key].default


@pytest.mark.parametrize("config", SETTINGS)
def test_a_config_has_the_numbers_of_its_paper(config):
    loaded = load_config(config)
    for name, expected in SETTINGS[config].items():
        found = value_at(loaded, name)
        if name == "model.losses":
            found = [loss.type for loss in found]
        if isinstance(found, (list, tuple)):
            found, expected = list(found), list(expected)
        assert found == expected, name


def test_defaults_that_papers_name():
    from vosplug.models.backbones.sparse_convs import TripleSparseConv

    conv = TripleSparseConv(4, 4, 3)
    assert conv.tau == 1.0
