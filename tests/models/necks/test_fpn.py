"""The feature pyramid network."""

import pytest
import torch

from vosplug.registry import NECKS
from vosplug.structures import Level

LEVELS = {"c2": Level(6, 4), "c3": Level(8, 8), "c4": Level(10, 16), "c5": Level(12, 32)}


def pyramid(size=(50, 70)):
    torch.manual_seed(0)
    return {name: torch.randn(2, level.channels, -(-size[0] // level.stride), -(-size[1] // level.stride))
            for name, level in LEVELS.items()}


def test_every_level_keeps_its_size_and_reads_the_coarser_ones():
    neck = NECKS.build(dict(type="FPN", channels=5), in_levels=LEVELS)
    features = {name: x.requires_grad_() for name, x in pyramid().items()}
    levels = neck(features)
    assert [tuple(x.shape) for x in levels] == [(2, 5, *x.shape[-2:]) for x in features.values()]
    levels[1].sum().backward()
    assert features["c2"].grad is None and all(features[n].grad.abs().sum() > 0 for n in ("c3", "c4", "c5"))


def test_it_equals_mmdet():
    pytest.importorskip("mmcv.ops", reason="mmcv's compiled operators are not installed")
    necks = pytest.importorskip("mmdet.models.necks", reason="mmdet is not installed")
    theirs = necks.FPN(in_channels=[level.channels for level in LEVELS.values()], out_channels=5, num_outs=4)
    ours = NECKS.build(dict(type="FPN", channels=5), in_levels=LEVELS)
    ours.load_state_dict(theirs.state_dict())
    features = pyramid()
    for a, b in zip(ours(features), theirs(list(features.values())), strict=True):
        assert torch.allclose(a, b, atol=1e-6)
