"""Every dense segmentor gives the same in sessions that compile their stages, and sparse ones are refused."""

import copy

import numpy as np
import pytest
import torch
from pycocotools import mask as mask_utils

from vosplug import registry
from vosplug.inference.session import new_session
from vosplug.inference.vis_session import VISSession
from vosplug.models import compiled
from vosplug.models.backbones.sparse_convs.base import SparseConv
from vosplug.utils.errors import InputError

from .helpers import boxes, build_model, random_frames, segmentor_cases
from .parts import cases

SIZE = (48, 64)
QUICK = ("STCN-0", "XMem-0", "DeAOT-0", "FRTM-0", "TTVOS-0", "ReuseGated-0")


class OneBuffer:
    """Backend that writes the results of a graph where those of its last run were, as graphs of CUDA do."""

    def __init__(self):
        self.graphs = 0

    def __call__(self, graph, inputs):
        self.graphs += 1
        buffers = {}

        def run(*args):
            outputs = graph(*args)
            return tuple(self.written(buffers, place, output) for place, output in enumerate(outputs))
        return run

    @staticmethod
    def written(buffers, place, output):
        if not isinstance(output, torch.Tensor):
            return output
        buffer = buffers.setdefault((place, output.shape), torch.empty_like(output))
        return buffer.copy_(output)


@pytest.fixture
def backend(monkeypatch):
    made = OneBuffer()
    monkeypatch.setitem(compiled.COMPILERS, "reduce-overhead", {"backend": made})
    monkeypatch.setattr(compiled.torch.compiler, "cudagraph_mark_step_begin", lambda: None)
    torch._dynamo.reset()
    yield made
    torch._dynamo.reset()


def compiled_cases() -> list:
    return [pytest.param(*case.values, id=case.id, marks=() if case.id in QUICK else pytest.mark.slow)
            for case in segmentor_cases()]


def is_sparse(model) -> bool:
    return any(isinstance(layer, SparseConv) for layer in model.modules())


@pytest.mark.parametrize("config", compiled_cases())
def test_compiled_sessions_give_the_same(config, backend):
    models = [build_model(copy.deepcopy(config)) for _ in range(2)]
    if is_sparse(models[0]):
        with pytest.raises(InputError, match="sparse convolutions decide"):
            new_session(models[0], compile="eager")
        return
    masks = boxes(2, SIZE)[0]
    prompt = (masks[0] + 2 * masks[1]).byte().numpy()
    sessions = [new_session(models[0], compile="reduce-overhead"), new_session(models[1], prepare=False)]
    for t, frame in enumerate(random_frames(5, SIZE)):
        image = np.ascontiguousarray(frame.permute(1, 2, 0).numpy())
        ours, plain = (session.predict(image, prompt if t == 0 else None).logits for session in sessions)
        assert torch.equal(ours, plain), t
    assert backend.graphs >= 2  # of frames and of masks


@pytest.mark.parametrize("part", cases(registry.VIS_SEGMENTORS)[:1])
def test_compiled_clips_give_the_same(part, backend):
    found = []
    for options in (dict(compile="reduce-overhead"), dict(prepare=False)):
        torch.manual_seed(0)
        session = VISSession(part.build().eval(), min_score=0.0, **options)
        for frame in random_frames(2 * session.clip_length, SIZE):
            session.add(np.ascontiguousarray(frame.permute(1, 2, 0).numpy()))
        found.append(session.finish())
    assert len(found[0]) > 0
    for ours, plain in zip(*found, strict=True):
        assert abs(ours["score"] - plain["score"]) < 1e-5
        for mask, written in zip(ours["segmentations"], plain["segmentations"], strict=True):
            assert (mask is None) == (written is None)
            assert mask is None or mask_utils.iou([mask], [written], [0])[0, 0] > 0.98
    assert backend.graphs >= 2
