"""Reuse gates: what runs, what is kept, what is decided."""

import copy
from contextlib import contextmanager

import pytest
import torch

from tests.contracts.helpers import boxes, build_model, random_frames, track, training_batch
from tests.models.segmentors.states import remembered, same
from vosplug.models.segmentors import STCN
from vosplug.models.segmentors.reuse_gated import FEATURE, SCORE
from vosplug.registry import SEGMENTORS
from vosplug.structures import Decision, Prompt
from vosplug.utils.configs import load_config
from vosplug.utils.errors import ConfigError, InputError

SIZE = (40, 56)
EXAMPLES = {"frtm": 0, "stcn": 1, "small": 2, "spvos": 3, "xmem": 4, "ttvos": 5, "deaot": 6}  # by what is behind it


def gate(inner="frtm", **options):
    """A tiny gated model; options are those of ReuseGated."""
    options = {"tau": 0.7, **options} if inner == "frtm" else options
    return build_model(SEGMENTORS.example("ReuseGated", EXAMPLES[inner], **options))


def decisions(model):
    """What a model decides from here on, frame by frame."""
    seen = []
    model.observers.append(lambda output: seen.append(output.noted(Decision)))
    return seen


@contextmanager
def called(model, *names):
    """Numbers of rows (or of calls, for what has none) of each call of methods of the inner segmentor."""
    calls = {name: [] for name in names}
    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            owner, original = model.segmentor, getattr(model.segmentor, name)

            def watched(*args, name=name, original=original):
                rows = [a for a in args if type(a).__name__ == "Rows"]
                calls[name].append(len(rows[0]) if rows else 1)
                return original(*args)
            patch.setattr(owner, name, watched)
        yield calls


def plain(inner):
    """A model that computes everything, and one with the same weights without a gate."""
    model = gate(inner, tau=1.0, mode="translate", tau_copy=None, max_reuse=None)
    twin = build_model(SEGMENTORS.example("ReuseGated", EXAMPLES[inner])["segmentor"])
    twin.load_state_dict({name.removeprefix("segmentor."): value for name, value in model.state_dict().items()
                          if name.startswith("segmentor.")})
    return model, twin


@pytest.mark.parametrize("inner", EXAMPLES)
def test_tau_one_is_the_ungated_model_bit_by_bit(inner):
    model, twin = plain(inner)
    frames, masks = random_frames(10, SIZE), boxes(3, SIZE)
    prompts = {0: ((1, 2), masks[:, :2]), 4: ((7,), masks[:, 2:])}
    states = [m.init_state() for m in (model, twin)]
    ours, theirs = (track(m, frames, prompts, {7: [2]}, state) for m, state in zip((model, twin), states, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    kept, known = (remembered(state) for state in states)
    assert [name for name in known if not same(kept[name], known[name])] == []
    assert all(name.startswith(("objects.reuse.", "objects.change_gate.")) for name in set(kept) - set(known))


@pytest.mark.parametrize("tau, expected", [(0.0, True), (1.0, False)])
def test_extremes_of_tau_hold_whatever_the_gate_says(tau, expected):
    model = gate(tau=tau)
    model.gate.forward = lambda inputs: torch.full((len(inputs.rows),), 1.0 if tau else 0.0)
    seen = decisions(model)
    track(model, random_frames(4, SIZE), {0: ((1, 2), boxes(2, SIZE))})
    assert [bool(d.reused.all()) for notes in seen[1:] for d in notes] == [expected] * 3
    assert all(not d.forced.any() for notes in seen[1:] for d in notes)


@pytest.mark.parametrize("mode", ["translate", "copy"])
@pytest.mark.parametrize("inner", ["frtm", "ttvos", "deaot"])
def test_nothing_behind_the_gate_runs_on_reused_frames(inner, mode):
    model = gate(inner, tau=0.0, mode=mode)
    number = 1 if inner == "deaot" else 2  # of rows: objects, or their group
    state = model.init_state()
    frames = random_frames(3, SIZE)
    track(model, frames[:1], {0: ((1, 2), boxes(2, SIZE))}, state=state)
    before = copy.deepcopy(state)
    with called(model, "encode_shallow", "encode_deep", "decode_coarse", "decode_fine", "memorize") as calls:
        outputs = track(model, frames[1:], state=state)
    assert calls["encode_shallow"] == [1, 1]
    assert calls["encode_deep"] == calls["decode_coarse"] == calls["memorize"] == []
    assert calls["decode_fine"] == ([number, number] if mode == "translate" else [])
    assert all(torch.isfinite(o).all() for o in outputs)
    assert same(remembered(state), remembered(before)) and state.frame_index == 3
    assert before.objects.held and (inner == "ttvos" or before.memory.tokens > 0)


@pytest.mark.parametrize("inner", ["frtm", "ttvos"])
def test_one_of_two_objects_is_computed_alone(inner):
    model = gate(inner, tau=0.5)
    model.gate.forward = lambda inputs: torch.tensor([0.9 if name == 1 else 0.1 for _, name in inputs.rows.keys])
    state = model.init_state()
    frames = random_frames(2, SIZE)
    track(model, frames[:1], {0: ((1, 2), boxes(2, SIZE))}, state=state)
    kept = {name: state.objects.read(name, model.rows(state)).clone() for name in (FEATURE, SCORE)}
    seen = decisions(model)
    with called(model, "encode_deep", "decode_coarse", "decode_fine", "memorize") as calls:
        track(model, frames[1:], state=state)
    assert calls == {"encode_deep": [1, 1], "decode_coarse": [1], "decode_fine": [2], "memorize": [1]}
    assert seen[0][0].reused.tolist() == [True, False]
    for name, before in kept.items():
        after = state.objects.read(name, model.rows(state))
        assert torch.equal(after[0], before[0]) and not torch.equal(after[1], before[1])


def test_copies_repeat_the_previous_mask():
    model = gate(tau=0.0, mode="copy")
    outputs = track(model, random_frames(3, SIZE), {0: ((1, 2), boxes(2, SIZE))})
    assert all(torch.equal(o.argmax(dim=1), outputs[0].argmax(dim=1)) for o in outputs[1:])


def test_fusion_copies_what_is_very_sure():
    model = gate(tau=0.5, mode="fusion", tau_copy=0.8)
    chances = iter([[0.6, 0.9], [0.6, 0.9], [0.1, 0.6]])
    model.gate.forward = lambda inputs: torch.tensor(next(chances))
    with called(model, "decode_coarse", "decode_fine") as calls:
        track(model, random_frames(4, SIZE), {0: ((1, 2), boxes(2, SIZE))})
    assert calls == {"decode_coarse": [2, 1], "decode_fine": [1, 1, 2]}  # the first coarse pass begins both objects


def test_objects_that_start_are_computed_and_the_others_decide():
    model = gate(tau=0.0)
    seen = decisions(model)
    masks = boxes(2, SIZE)
    with called(model, "decode_coarse") as calls:
        track(model, random_frames(4, SIZE), {0: ((1,), masks[:, :1]), 2: ((2,), masks[:, 1:])})
    assert [[d.keys for d in notes] for notes in seen] == [[], [((0, 1),)], [((0, 1),)], [((0, 1), (0, 2))]]
    assert all(d.reused.all() for notes in seen for d in notes) and calls["decode_coarse"] == [1, 1]


def test_max_reuse_and_memory_frames_are_computed():
    model = gate(tau=0.0, max_reuse=2)
    seen = decisions(model)
    track(model, random_frames(7, SIZE), {0: ((1,), boxes(1, SIZE))})
    assert [bool(n[0].reused) for n in seen[1:]] == [True, True, False, True, True, False]
    model = gate("stcn", tau=0.0, tau_copy=None, mode="translate", on_memory_frame="full")
    seen = decisions(model)
    track(model, random_frames(7, SIZE), {0: ((1,), boxes(1, SIZE))})
    assert [bool(n[0].reused) for n in seen[1:]] == [True, True, True, True, False, True]  # STCN keeps every fifth


def test_one_tau_per_frame():
    model = gate(tau=[0.0, 1.0, 0.0])
    seen = decisions(model)
    track(model, random_frames(4, SIZE), {0: ((1,), boxes(1, SIZE))})
    assert [bool(n[0].reused) for n in seen[1:]] == [True, False, True]
    with pytest.raises(InputError, match="has 3 numbers, one for each frame after the first, but frame 4"):
        track(model, random_frames(5, SIZE), {0: ((1,), boxes(1, SIZE))})


@pytest.mark.parametrize("inner", ["frtm", "ttvos", "deaot"])
def test_batches_equal_videos_one_by_one(inner):
    model = gate(inner, tau=0.15).double()
    frames = torch.stack([random_frames(4, SIZE, seed) for seed in (1, 2, 3)])
    masks = boxes(2, SIZE)
    prompts = {0: ((1, 2), masks)}
    alone = [track(model, video, prompts) for video in frames]
    state = model.init_state(3)
    with torch.no_grad():
        for t in range(4):
            x, geometry = model.data_preprocessor.frames(frames[:, t])
            given, native = (m.double().expand(3, -1, -1, -1) for m in (model.data_preprocessor.masks(masks, geometry),
                                                                        masks))
            prompt = Prompt(ids=(1, 2), masks=given, native=native) if t == 0 else None
            logits = model.step(state, x, prompt, geometry=geometry).logits
            for b, restored in enumerate(model.data_preprocessor.restore(logits, geometry)):
                assert torch.allclose(restored, alone[b][t][0], atol=1e-6)


@pytest.mark.parametrize("options, message", [
    (dict(tau=1.5), "tau must lie in 0..1"), (dict(tau=[0.5, -1]), "tau must lie in 0..1"), (dict(tau=[]), "tau must"),
    (dict(mode="translation"), "mode must be one of .* Did you mean 'translate'"),
    (dict(mode="fusion"), "needs it"), (dict(tau_copy=0.9), "belongs to mode='fusion'"),
    (dict(mode="fusion", tau_copy=0.6), "must be above tau"), (dict(mode="fusion", tau_copy=1.2), "at most 1"),
    (dict(max_reuse=0), "at least 1"), (dict(on_memory_frame="skip"), "on_memory_frame must be one of"),
    (dict(translator=dict(type="RefineTranslator", hidden=9)), "hidden must lie between 0 and 8"),
    (dict(delta=dict(type="DeltaGenerator", stride=1)), None)])
def test_bad_options(options, message):
    if message is None:  # found out where it does not fit
        with pytest.raises(ConfigError, match="its stride must be 16 / 8"):
            track(gate(tau=0.0, **options), random_frames(2, SIZE), {0: ((1,), boxes(1, SIZE))})
        return
    with pytest.raises(ConfigError, match=message):
        gate(**options)


def test_what_cannot_be_cut_cannot_be_gated(monkeypatch):
    monkeypatch.setattr(STCN, "cut", property(lambda self: None, lambda self, cut: None))
    with pytest.raises(ConfigError, match="STCN cannot be gated: it has no cut"):
        gate("stcn")
    with pytest.raises(ConfigError, match="'EfficientVIS' is a VIS segmentor, not a segmentor"):
        SEGMENTORS.build(dict(type="ReuseGated", segmentor=load_config("efficientvis_small").model))


def test_training_masks_are_those_of_the_hard_decision():
    model = gate(losses=[]).train()
    batch = training_batch(model)
    coarse, seen = [], []
    fine = model.segmentor.decode_fine
    model.segmentor.decode_fine = lambda state, features, x, rows: (coarse.append(x.detach()),
                                                                    fine(state, features, x, rows))[1]
    full, moved = [], []
    compute, translate = model.segmentor.decode_coarse, model.translate
    model.segmentor.decode_coarse = lambda *args: (full.append(compute(*args)), full[-1])[1]
    model.translate = lambda *args: (moved.append(translate(*args)), moved[-1])[1]
    model.gate.sample = lambda p: p - p.detach() + (torch.arange(len(p)) % 2 + 0.2) / 1.5
    model.observers.append(lambda output: seen.extend(output.noted(Decision)))
    model.loss(batch["inputs"], batch["data_samples"])
    passes = [x for x in full if len(x) > 1 or len(full) == 1]
    assert len(coarse) == len(moved) == len(seen) == 2 and any(d.reused.any() for d in seen)
    for x, (y, _), decision in zip(coarse, moved, seen, strict=True):
        computed = next(z for z in passes if z.shape == x.shape and torch.allclose(z[~decision.reused],
                                                                                   x[~decision.reused], atol=1e-5))
        assert torch.allclose(x[decision.reused], y.detach()[decision.reused], atol=1e-5)
        assert not torch.allclose(x[decision.reused], computed.detach()[decision.reused], atol=1e-5)


def test_gradients_reach_gate_change_and_translator():
    model = gate().train()
    batch = training_batch(model)
    losses = model(**batch, mode="loss")
    assert {"loss_bce", "loss_delta", "loss_gate", "reuse_rate", "true_iou"} <= set(losses)
    sum(value for name, value in losses.items() if name.startswith("loss")).backward()
    for part in (model.gate, model.delta, model.translator, model.matching):
        assert [name for name, p in part.named_parameters() if p.ndim > 1 and not p.grad.abs().sum() > 0] == []
