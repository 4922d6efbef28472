"""From a model of single frames to one of clips."""

import torch

from tests.models.tracklets.helpers import tiny_model
from vosplug.converters import EfficientVISConverter
from vosplug.utils.checkpoint import load_weights

STILL = dict(type="StillImageDynamicConv", hidden=8)
SPATIAL = dict(type="SpatialAttention", heads=4)


def test_a_model_of_frames_becomes_one_of_clips_that_sees_single_frames_alike():
    frames = tiny_model(attention=SPATIAL, dynamic_conv=STILL)
    model = tiny_model(seed=1)
    fitted = EfficientVISConverter().fit(EfficientVISConverter().convert(frames.state_dict()), model)
    load_weights(model, fitted.state)
    assert not fitted.dropped and not fitted.unknown
    assert all(".attention.temporal." in name for name in fitted.kept) and fitted.kept
    clip = torch.randn(1, 1, 3, 48, 64)
    with torch.no_grad():
        ours, theirs = model.step(model.init_state(), clip), frames.step(frames.init_state(), clip)
        assert torch.allclose(ours.scores, theirs.scores, atol=1e-6)
        assert torch.allclose(ours.boxes, theirs.boxes, atol=1e-3)
        assert torch.allclose(ours.masks, theirs.masks, atol=1e-6)


def test_other_classes_start_anew_and_time_is_left_out_where_the_model_has_none():
    model = tiny_model(seed=1, attention=SPATIAL, num_classes=5)
    source = tiny_model().state_dict()
    fitted = EfficientVISConverter().fit(EfficientVISConverter().convert(source), model)
    load_weights(model, fitted.state)
    assert {name.split(".")[-2] for name in fitted.kept} == {"fc_cls", "conv_logits"}
    assert any(".attention.temporal." in name for name in fitted.dropped)
    assert torch.equal(model.backbone.conv1.weight, source["backbone.conv1.weight"])
