"""Large backbones that begin with random weights are named, others are not."""

import pytest
import torch
from torch import nn

from vosplug.engine.random_backbones import warn_of_random_backbones
from vosplug.models.backbones import MobileNetV2, ResNet


@pytest.fixture(scope="module")
def large():
    return nn.ModuleDict({"key_encoder": nn.ModuleDict({"backbone": MobileNetV2(last="c4")})})


def test_a_large_backbone_is_named_with_the_remedy(large, caplog):
    warn_of_random_backbones(large)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "--cfg-options model.key_encoder.backbone.weights=imagenet" in caplog.text


def test_loaded_and_small_ones_are_not(large, caplog, tmp_path):
    warn_of_random_backbones(nn.ModuleList([ResNet(None, block="basic", blocks=(1, 1, 1)), MobileNetV2(width=0.5)]))
    torch.save(large["key_encoder"]["backbone"].state_dict(), tmp_path / "mobile.pth")
    warn_of_random_backbones(MobileNetV2(last="c4", weights=str(tmp_path / "mobile.pth")))
    large.load_state_dict(large.state_dict())
    warn_of_random_backbones(large)
    assert not caplog.records
