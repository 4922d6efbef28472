"""What only XMem does. What every segmentor must do stands in tests/contracts."""

import pytest
import torch

from tests.contracts.helpers import (
    CONFIGS,
    TINY_R50,
    TINY_XMEM,
    advance,
    boxes,
    build_tiny,
    random_frames,
    track,
    training_batch,
)
from vosplug.registry import SEGMENTORS
from vosplug.structures import Prompt, Rows
from vosplug.utils.configs import load_config
from vosplug.utils.errors import ConfigError

SIZE = (33, 47)
CASE = ("_base_/xmem_r50_model.py", TINY_XMEM)


@pytest.fixture
def model():
    return build_tiny(*CASE)


def updates(model, frames, prompts):
    """Kinds of updates of the sensory memory, one string per frame."""
    calls = []
    handles = [model.normal_update.register_forward_hook(lambda *_: calls.append("n")),
               model.deep_update.register_forward_hook(lambda *_: calls.append("d"))]
    state, seen = model.init_state(), []
    with torch.no_grad():
        for t in range(frames):
            x, geometry = model.data_preprocessor.frames(random_frames(frames, SIZE)[t][None])
            prompt = None
            if t in prompts:
                prompt = Prompt(ids=(t + 1,), masks=model.data_preprocessor.masks(boxes(1, SIZE), geometry))
            model.step(state, x, prompt, last=t == frames - 1)
            seen.append("".join(calls))
            calls.clear()
    for handle in handles:
        handle.remove()
    return seen


def test_memorised_frames_update_deeply_and_the_others_normally(model):
    model.memory.every = 3
    assert updates(model, 8, (0, 4)) == ["d", "n", "n", "d", "d", "n", "n", ""]


def test_deep_updates_at_intervals_come_beside_normal_ones(model):
    model.memory.every, model.deep_update_every = 2, 4
    assert updates(model, 8, (0,)) == ["d", "n", "n", "n", "nd", "n", "n", ""]


@pytest.mark.parametrize("every, deep_every, prompts", [(2, 4, (0,)), (2, 3, (0, 3)), (3, 2, (0, 4)), (1, 3, (0,)),
                                                        (4, 1, (0, 1, 6))])
def test_deep_updates_at_intervals_follow_the_rule_of_xmem(model, every, deep_every, prompts):
    """Due since so many frames, but carried out on memory frames only, where values are encoded."""
    model.memory.every, model.deep_update_every, frames = every, deep_every, 9
    expected, last_memory, last_deep = [], -every, -deep_every
    for t in range(frames):
        memory = t < frames - 1 and (t - last_memory >= every or t in prompts)
        deep = memory and t - last_deep >= deep_every
        last_memory, last_deep = t if memory else last_memory, t if deep else last_deep
        normal = 0 < t < frames - 1
        expected.append("n" * normal + "d" * deep)
    assert updates(model, frames, prompts) == expected


def sensory_of(state):
    """Sensory memory of the objects of a video."""
    return state.objects.read("sensory", Rows.of_table(state.active, state.ids.ids))


def test_a_deep_update_starts_from_the_normal_one(model):
    model.memory.every, model.deep_update_every = 2, 1
    state, frames, seen = model.init_state(), random_frames(3, SIZE), {}
    track(model, frames[:2], {0: ((1,), boxes(1, SIZE))}, state=state)
    before = sensory_of(state).clone()
    handles = [part.register_forward_hook(lambda _m, inputs, out, name=name: seen.__setitem__(name, (inputs, out)))
               for name, part in (("normal", model.normal_update), ("deep", model.deep_update))]
    track(model, frames[2:], state=state)
    for handle in handles:
        handle.remove()
    assert torch.equal(seen["normal"][0][1], before) and torch.equal(seen["deep"][0][1], seen["normal"][1])
    assert torch.equal(sensory_of(state), seen["deep"][1])


def test_sensory_memory_is_zero_for_new_objects_and_dropped_with_them(model):
    model.memory.every = 100
    frames, masks = random_frames(5, SIZE), boxes(2, SIZE)
    state = model.init_state()
    track(model, frames[:2], {0: ((1,), masks[:, :1])}, state=state)
    features = model.encode_deep(model.encode_shallow(model.data_preprocessor.frames(frames[:1])[0]))
    rows = Rows.of_table(torch.tensor([[True, True]]), (1, 7))
    held = model.sensory(state, features, rows)
    assert held.shape[0] == 2 and held[0].abs().sum() > 0 and held[1].abs().sum() == 0
    with torch.no_grad():
        advance(model, state, frames[2], ((2,), masks[:, 1:]))
    both = sensory_of(state).clone()
    model.remove_objects(state, [1])
    assert len(both) == 2 and torch.equal(sensory_of(state), both[1:])


def test_a_subset_of_the_objects_leaves_the_others_alone(model):
    model.memory.every = 2
    frames, state = random_frames(4, SIZE), model.init_state()
    track(model, frames[:3], {0: ((1, 2), boxes(2, SIZE))}, state=state)
    before, tokens = sensory_of(state).clone(), state.memory.tokens
    x, _ = model.data_preprocessor.frames(frames[3:])
    with torch.no_grad(), model.running(state) as run:
        features = model.encode_deep(model.encode_shallow(x))
        rows = model.rows(state).having({(0, 2)})
        with run.whose(rows):
            coarse = model.decode_coarse(state, features, rows)
            logits = model.decode_fine(state, features, coarse, rows)
            masks = model.feedback(state, model.compose(state, logits, rows))
            model.memorize(state, features, masks, rows, run)
    assert logits.shape[0] == 1
    after = state.objects.read("sensory", model.rows(state))
    assert torch.equal(after[0], before[0]) and not torch.equal(after[1], before[1])
    assert state.memory.tokens == tokens  # frame 3 is no memory frame


def test_selection_and_shrinkage_reach_the_memory(model):
    state = model.init_state()
    track(model, random_frames(1, SIZE), {0: ((1,), boxes(1, SIZE))}, state=state)
    entry = next(iter(state.memory))
    shrinkage, selection = entry["shrinkage"], entry["selection"]
    assert (shrinkage >= 1).all() and ((selection > 0) & (selection < 1)).all()
    assert shrinkage.shape == (1, 1, entry.tokens) and selection.shape == entry["key"].shape


def test_long_video_has_constant_memory():
    options = {**CASE[1], "model.memory.every": 1, "model.memory.max_mid_term_frames": 4,
               "model.memory.min_mid_term_frames": 2, "model.memory.max_long_term_elements": 60,
               "model.memory.num_prototypes": 10}
    model = build_tiny(CASE[0], options)
    state, frames, masks, tokens = model.init_state(), random_frames(20, SIZE), boxes(3, SIZE), []
    prompts = {0: ((1, 2), masks[:, :2]), 40: ((3,), masks[:, 2:])}
    with torch.no_grad():
        for t in range(150):
            if t == 90:
                model.remove_objects(state, [1])
            logits = advance(model, state, frames[t % 20], prompts.get(t))
            assert torch.isfinite(logits).all()
            tokens.append(state.memory.tokens)
    grid = 9  # 48x48 at stride 16
    assert max(tokens) <= 60 + (4 + 1) * grid
    assert max(tokens[100:]) <= max(tokens[:100]) and state.memory.long_term_tokens > 0
    assert len(state.memory.long_term) <= 3 and state.ids.ids == (2, 3)


BANK = {"type": "FrameBank", "every": 3, "since": "kept", "max_tokens": None, "_delete_": True}


@pytest.mark.parametrize("prompts", [(0,), (0, 4)])
def test_with_a_frame_bank_it_is_the_same_while_nothing_is_consolidated(prompts):
    frames, masks = random_frames(9, SIZE), boxes(2, SIZE)
    given = {t: ((i + 1,), masks[:, i : i + 1]) for i, t in enumerate(prompts)}
    memories = {"model.memory": BANK}, {"model.memory.every": 3}
    models = [build_tiny(CASE[0], {**CASE[1], **memory}) for memory in memories]
    bank, long_term = (track(model, frames, given) for model in models)
    assert all(torch.equal(a, b) for a, b in zip(bank, long_term, strict=True))
    assert updates(models[0], 8, prompts) == updates(models[1], 8, prompts)


def test_with_a_frame_bank_memory_grows():
    model = build_tiny(CASE[0], {**CASE[1], "model.memory": {**BANK, "every": 1}})
    state = model.init_state()
    track(model, random_frames(15, SIZE), {0: ((1,), boxes(1, SIZE))}, state=state)
    assert state.memory.tokens == 15 * 9


def test_with_a_frame_bank_it_trains():
    model = build_tiny(CASE[0], {**CASE[1], "model.memory": BANK}).train()
    losses = model.loss(**training_batch(model))
    sum(value for name, value in losses.items() if "loss" in name).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("config, head", [("_base_/xmem_r50_model.py", "L2Matching"),
                                          ("_base_/stcn_r50_model.py", "L2Matching"),
                                          ("_base_/stcn_r50_model.py", "AnisotropicL2Matching")])
def test_long_term_memory_compares_as_the_head_does(config, head):
    options = {**(CASE[1] if "xmem" in config else TINY_R50), "model.matching_head.type": head,
               "model.memory": {"type": "LongTermMemory", "every": 1, "max_mid_term_frames": 4,
                                "min_mid_term_frames": 2, "max_long_term_elements": 30, "num_prototypes": 5,
                                "_delete_": True}}
    model = build_tiny(config, options)
    state, calls = model.init_state(), []
    similarity = state.memory.similarity
    assert similarity == model.matching_head.similarity_of
    state.memory.similarity = lambda query, memory: calls.append(query["key"].shape[-1]) or similarity(query, memory)
    logits = track(model, random_frames(12, SIZE), {0: ((1, 2), boxes(2, SIZE))}, state=state)
    assert all(torch.isfinite(frame).all() for frame in logits)
    assert len(calls) >= 4 and set(calls) == {5} and 5 <= state.memory.long_term_tokens <= 30


def test_draws_of_training_follow_the_seed_of_torch(model):
    model.train()
    batch = training_batch(model, length=5)
    values = {}
    for seed in (0, 0, 1, 2, 3):
        torch.manual_seed(seed)
        with torch.no_grad():
            value = float(model.loss(**batch)["loss_ce"])
        assert values.setdefault(seed, value) == value
    assert len(set(values.values())) > 1


@pytest.mark.parametrize("probability, deep", [(0.0, 2), (1.0, 3)])
def test_in_training_memorised_frames_update_deeply_by_chance(model, probability, deep):
    """Frames 0 to 2 of four are memorised; those with given masks, 0 and 1, always update deeply."""
    model.train()
    model.deep_update_probability, calls = probability, []
    model.deep_update.register_forward_hook(lambda *_: calls.append("d"))
    model.normal_update.register_forward_hook(lambda *_: calls.append("n"))
    with torch.no_grad():
        model.loss(**training_batch(model, clips=1, length=4))
    assert calls.count("d") == deep and calls.count("n") >= 2


def test_interval_of_deep_updates_is_checked():
    with pytest.raises(ConfigError, match="deep_update_every must be -1"):
        build_tiny(CASE[0], {**TINY_R50, "model.deep_update_every": 0})


def test_full_size_model_has_the_published_size():
    with torch.device("meta"):
        model = SEGMENTORS.build(load_config(CONFIGS / "xmem_r50.py").model)
    assert round(sum(p.numel() for p in model.parameters()) * 4 / 2**20, 2) == 237.22
