"""Forward hooks on every module of gated models: what is skipped does not run."""

import copy
from collections import Counter, defaultdict
from contextlib import contextmanager

import pytest
import torch

from tests.contracts.helpers import boxes, random_frames, track
from tests.models.segmentors.states import remembered, same
from tests.models.segmentors.test_reuse_gated import EXAMPLES, SIZE, gate
from vosplug.structures import Rows

STAGES = ("encode_shallow", "encode_deep", "decode_coarse", "decode_fine", "memorize")
PLAIN = dict(tau_copy=None, max_reuse=None)


@contextmanager
def hooked(model):
    """Calls of every module inside the model: (stage, name) -> sizes of the first axis of each call.

    The stage is the method of the inner segmentor that is running, or None.
    """
    calls, stage = defaultdict(list), [None]

    def note(name):
        def hook(module, inputs, output):
            x = next((value for value in inputs if isinstance(value, torch.Tensor)), None)
            calls[stage[-1], name].append(None if x is None else len(x))
        return hook

    def inside(name, original):
        def run(*args, **options):
            stage.append(name)
            try:
                return original(*args, **options)
            finally:
                stage.pop()
        return run

    handles = [module.register_forward_hook(note(name)) for name, module in model.named_modules() if name]
    with pytest.MonkeyPatch.context() as patch:
        for name in STAGES:
            patch.setattr(model.segmentor, name, inside(name, getattr(model.segmentor, name)))
        yield calls
    for handle in handles:
        handle.remove()


def behind(calls):
    """Names of the modules that ran in late stages only."""
    late = {name for stage, name in calls if stage in ("encode_deep", "decode_coarse", "memorize")}
    return late - {name for stage, name in calls if stage in ("encode_shallow", "decode_fine")}


def of_gate(name):
    """Whether a module is one that decides."""
    return name.split(".")[0] in ("matching", "gate")


@pytest.mark.parametrize("inner", EXAMPLES)
def test_reused_frames_run_nothing_behind_the_gate(inner):
    model = gate(inner, tau=1.0, mode="translate", **PLAIN)
    state, frames = model.init_state(), random_frames(7, SIZE)
    with hooked(model) as calls:  # frames that are computed; the memory of STCN wants the fifth
        track(model, frames[:6], {0: ((1, 2), boxes(2, SIZE))}, state=state)
    late = behind(calls)
    assert len(late) >= 3, "the test has nothing to look at"
    for mode in ("translate", "copy"):
        model.tau, model.mode = 1.0, mode
        ready = copy.deepcopy(state)
        track(model, frames[5:6], state=ready)  # a mask that can be copied
        before = copy.deepcopy(ready)
        model.tau = 0.0
        with hooked(model) as calls:
            track(model, frames[6:], state=ready)
        ran = Counter(name for _, name in calls)
        assert not late & set(ran) and {stage for stage, _ in calls} <= {None, "encode_shallow", "decode_fine"}
        rest = {name for stage, name in calls if stage != "encode_shallow" and not of_gate(name)}
        assert bool(rest) == (mode == "translate")
        for kept in (ready, before):  # what sparse layers of blocks that ran keep is theirs
            kept.layers = {name: value for name, value in kept.layers.items()
                           if f"segmentor.{name.rpartition('.')[0]}" not in ran}
        assert same(remembered(ready), remembered(before)) and ready.frame_index == before.frame_index + 1


@pytest.mark.parametrize("inner", [name for name in EXAMPLES if name != "deaot"])  # whose objects are one row
def test_one_of_two_objects_runs_late_stages_once_with_one_row(inner):
    model = gate(inner, tau=0.5, mode="translate", **PLAIN)
    answers = {1: 0.9, 2: 0.1}
    model.gate.forward = lambda inputs: torch.tensor([answers[name] for _, name in inputs.rows.keys])
    state, frames = model.init_state(), random_frames(2, SIZE)
    track(model, frames[:1], {0: ((1, 2), boxes(2, SIZE))}, state=state)
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        for name in ("decode_coarse", "decode_fine", "memorize"):
            original = getattr(model.segmentor, name)
            patch.setattr(model.segmentor, name, lambda *args, name=name, original=original: (
                seen.append((name, *[len(a) for a in args if isinstance(a, Rows)])), original(*args))[1])
        with hooked(model) as calls:
            track(model, frames[1:], state=state)
    assert seen == [("decode_coarse", 1), ("decode_fine", 2), ("memorize", 1)]
    sizes = {(stage, name): count for (stage, name), count in calls.items()
             if stage in ("encode_deep", "decode_coarse", "memorize")}
    assert sizes and all(size in (None, 1) for counts in sizes.values() for size in counts)
    assert all(len(counts) == 1 for (stage, _), counts in sizes.items() if stage == "encode_deep")
