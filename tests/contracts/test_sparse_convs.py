"""What sparse convolutions and frame policies must do."""

import copy

import pytest
import torch

from vosplug.models.backbones.sparse_convs import SparseConv
from vosplug.models.frame_run import FrameRun
from vosplug.models.memories import FrameBank
from vosplug.registry import FRAME_POLICIES, SEGMENTORS, SPARSE_CONVS
from vosplug.structures import Rows, VideoState, Work

from .helpers import boxes, build_model, random_frames, track
from .parts import cases

GEOMETRIES = [dict(kernel_size=3, padding=1), dict(kernel_size=1, padding=0),
              dict(kernel_size=3, stride=2, padding=1, bias=False, groups=2)]


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("part", cases(SPARSE_CONVS))
def test_sparse_convolutions_are_drop_ins_outside_of_a_frame_loop(part, geometry):
    conv = part.build(**geometry)
    dense = torch.nn.Conv2d(4, 6, **geometry)
    names = {name for name, _ in conv.named_parameters() if not name.startswith("gate.")}
    assert names == {name for name, _ in dense.named_parameters()}
    dense.load_state_dict({name: value for name, value in conv.state_dict().items() if name in names})
    x = torch.randn(2, 4, 9, 7)
    assert torch.equal(conv(x), dense(x))


def of_rows(conv, state, rows, x, dense=False):
    """What ``conv`` gives on a frame for some rows of objects, and the notes; ``rows`` None: nobody's."""
    run = FrameRun(state)
    run.plan["dense"] = dense
    with torch.no_grad(), run.working(), run.whose(rows):
        return conv(x).clone(), run.notes


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("part", cases(SPARSE_CONVS))
def test_sparse_convolutions_treat_every_row_by_itself(part, geometry):
    conv, state = part.build(**geometry).eval(), VideoState(active=torch.ones(1, 3, dtype=torch.bool))
    conv.name = "layer"
    rows = Rows.of_table(torch.ones(1, 3, dtype=torch.bool), (1, 2, 3))
    frames = [torch.randn(3, 4, 9, 7) for _ in range(3)]
    plain = torch.nn.functional.conv2d(frames[0], conv.weight, conv.bias, conv.stride, conv.padding, conv.dilation,
                                       conv.groups)
    out, _ = of_rows(conv, state, rows, frames[0], dense=True)
    assert torch.allclose(out, plain, atol=1e-5)
    alone = copy.deepcopy(state)
    some = rows.select([True, False, True])
    picked, notes = of_rows(conv, state, some, frames[1][[0, 2]])
    whole, _ = of_rows(conv, alone, rows, frames[1])
    assert torch.allclose(picked, whole[[0, 2]], atol=1e-5)
    assert [note.sites for note in notes] == ([picked[:, 0].numel()] if isinstance(conv, SparseConv) else [])
    assert all(isinstance(note, Work) and sum(note.counts()) == note.sites for note in notes)
    before = copy.deepcopy(state.layers)
    nobody, notes = of_rows(conv, state, None, torch.cat(frames))
    dense, _ = of_rows(conv, VideoState(), None, torch.cat(frames), dense=True)
    assert torch.equal(nobody, dense) and not notes
    for name, kept in state.layers.items():
        assert kept.keys == before[name].keys
        assert all(torch.equal(x, before[name].tensors[which]) for which, x in kept.tensors.items())


def states():
    """Before the first frame, later, and of a method without a memory."""
    for memory in (FrameBank(every=5).new(), FrameBank(every=2, include_last=True).new(), None):
        for frame in (0, 3, 5):
            yield VideoState(memory=memory, frame_index=frame)


@pytest.mark.parametrize("part", cases(FRAME_POLICIES))
def test_frame_policies_decide_by_the_state_alone(part):
    policy, count = part.build(), 0
    for state in states():
        for prompted, last in ((True, False), (False, False), (False, True), (True, True)):
            decision = policy.decide(state, prompted, last)
            assert isinstance(decision, dict) and set(map(type, decision)) <= {str}
            assert isinstance(decision.get("dense", False), bool)
            assert policy.decide(state, prompted, last) == decision == part.build().decide(state, prompted, last)
            count += 1
    assert count == 36


@pytest.mark.parametrize("part", cases(FRAME_POLICIES))
def test_frame_policies_say_which_frames_are_dense(part):
    sparse = dict(conv=dict(type="TripleSparseConv"), where="Q", policy=part.config)
    model, policy, planned = build_model(SEGMENTORS.example("STCN", sparse=sparse)), part.build(), []

    class Spy:
        def decide(self, state, prompted, last):
            planned.append(policy.decide(state, prompted, last).get("dense", False))
            return {}

    outputs = []
    model.frame_policies.insert(0, Spy())
    model.observers.append(outputs.append)
    logits = track(model, random_frames(7, (33, 47)), {0: ((1,), boxes(1, (33, 47))), 3: ((2,), boxes(1, (33, 47)))})
    assert all(torch.isfinite(x).all() for x in logits) and len(planned) == len(outputs) == 7
    for number, (dense, output) in enumerate(zip(planned, outputs, strict=True)):
        work = output.noted(Work)
        assert len(work) > 0
        assert all((note.policy is None) is (dense or number == 0) for note in work)
