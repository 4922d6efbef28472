"""Every segmentor gives the same in sessions that run on packed weights, but for rounding."""

import copy

import numpy as np
import pytest
import torch
from vosplug.ops import has_extension

from vosplug import registry
from vosplug.inference.session import new_session
from vosplug.inference.vis_session import VISSession
from vosplug.models.backbones.sparse_convs import dense

from .helpers import boxes, build_model, random_frames, segmentor_cases
from .parts import cases

SIZE = (48, 64)
pytestmark = pytest.mark.skipif(not has_extension(), reason="the compiled operators are not there")


@pytest.fixture(autouse=True)
def narrow_layers_too(monkeypatch):
    monkeypatch.setattr(dense, "NARROW_IN", 1)
    monkeypatch.setattr(dense, "NARROW_OUT", 1)


def packed_layers(model) -> int:
    return sum(layer._packed.conv is not None for layer in model.modules() if type(layer) is dense.DenseConv)


@pytest.mark.parametrize("config", segmentor_cases())
def test_prepared_sessions_differ_by_rounding(config):
    models = [build_model(copy.deepcopy(config)) for _ in range(2)]
    masks = boxes(2, SIZE)[0]
    prompt = (masks[0] + 2 * masks[1]).byte().numpy()
    sessions = [new_session(model, prepare=wanted) for model, wanted in zip(models, (True, False), strict=True)]
    for t, frame in enumerate(random_frames(4, SIZE)):
        image = np.ascontiguousarray(frame.permute(1, 2, 0).numpy())
        ours, plain = (session.predict(image, prompt if t == 0 else None).prob for session in sessions)
        # Where two objects are all but certain, merging by odds turns the last digit into another ratio of the two.
        assert ((ours - plain).abs() > 5e-3).float().mean() < 1e-3
    assert packed_layers(models[0]) or config.get("sparse")  # sparse everywhere leaves nothing else
    assert not packed_layers(models[1])


@pytest.mark.parametrize("part", cases(registry.VIS_SEGMENTORS))
def test_prepared_clips_differ_by_rounding(part):
    found = []
    for wanted in (True, False):
        torch.manual_seed(0)
        model = part.build().eval()
        session = VISSession(model, prepare=wanted, min_score=0.0)
        for frame in random_frames(session.clip_length, SIZE):
            session.add(np.ascontiguousarray(frame.permute(1, 2, 0).numpy()))
        found.append(sorted(track["score"] for track in session.finish()))
        assert bool(packed_layers(model)) is wanted
    assert np.allclose(*found, atol=1e-3)
