"""The feature pyramid network."""

import pytest
import torch

from vosplug.registry import NECKS

CHANNELS = {4: 6, 8: 8, 16: 10, 32: 12}


def pyramid(size=(50, 70)):
    torch.manual_seed(0)
    return {s: torch.randn(2, c, -(-size[0] // s), -(-size[1] // s)) for s, c in CHANNELS.items()}


def test_every_level_keeps_its_size_and_reads_the_coarser_ones():
    neck = NECKS.build(dict(type="FPN", channels=5), in_channels=CHANNELS)
    features = {s: x.requires_grad_() for s, x in pyramid().items()}
    levels = neck(features)
    assert [tuple(x.shape) for x in levels] == [(2, 5, *x.shape[-2:]) for x in features.values()]
    levels[1].sum().backward()
    assert features[4].grad is None and all(features[s].grad.abs().sum() > 0 for s in (8, 16, 32))


def test_it_equals_mmdet():
    pytest.importorskip("mmcv.ops", reason="mmcv's compiled operators are not installed")
    necks = pytest.importorskip("mmdet.models.necks", reason="mmdet is not installed")
    theirs = necks.FPN(in_channels=list(CHANNELS.values()), out_channels=5, num_outs=4)
    ours = NECKS.build(dict(type="FPN", channels=5), in_channels=CHANNELS)
    ours.load_state_dict(theirs.state_dict())
    features = pyramid()
    for a, b in zip(ours(features), theirs(list(features.values())), strict=True):
        assert torch.allclose(a, b, atol=1e-6)
