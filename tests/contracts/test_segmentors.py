"""What every registered segmentor must do: run on its examples, and on sparse forms of some of them."""

import copy
import io

import pytest
import torch

from vosplug.models.segmentors.base import VOSSegmentor
from vosplug.models.segmentors.slot_base import SlotSegmentor
from vosplug.registry import MODELS
from vosplug.structures import Prompt
from vosplug.utils.errors import ConfigError, InputError

from .helpers import advance, boxes, build_model, random_frames, segmentor_cases, track, training_batch


@pytest.fixture(params=segmentor_cases())
def config(request):
    return copy.deepcopy(request.param)


@pytest.fixture
def model(config):
    return build_model(config)


@pytest.mark.parametrize("size", [(48, 64), (33, 47), (17, 95)])
@pytest.mark.parametrize("objects", [0, 1, 3, 11])
def test_any_size_and_number_of_objects(model, size, objects):
    prompts = {0: (tuple(range(1, objects + 1)), boxes(objects, size))} if objects else {}
    outputs = track(model, random_frames(3, size), prompts)
    for logits in outputs:
        assert logits.shape == (1, objects + 1, *size)
        assert torch.isfinite(logits).all()
        assert torch.allclose(logits.softmax(dim=1).sum(dim=1), torch.ones(1, *size), atol=1e-5)
    if not objects:
        assert all((logits.argmax(dim=1) == 0).all() for logits in outputs)


def test_prompt_is_certain_where_it_is_given(model):
    masks = boxes(2, (48, 64))
    logits = track(model, random_frames(1, (48, 64)), {0: ((4, 2), masks)})[0]
    expected = masks[0, 0] + 2 * masks[0, 1]
    assert torch.equal(logits.argmax(dim=1)[0], expected.long())


def test_objects_come_and_go_at_any_frame(model):
    size = (40, 56)
    masks = boxes(3, size)
    state = model.init_state()
    outputs = track(model, random_frames(7, size), removed={5: [9]}, state=state,
                    prompts={1: ((9,), masks[:, :1]), 3: ((2, 7), masks[:, 1:])})
    assert [o.shape[1] - 1 for o in outputs] == [0, 1, 1, 3, 3, 2, 2]
    assert state.ids.ids == (2, 7)


def test_late_object_does_not_change_what_was_predicted_before(model):
    size = (40, 56)
    frames, masks = random_frames(5, size), boxes(2, size)
    alone = track(model, frames, {0: ((1,), masks[:, :1])})
    joined = track(model, frames, {0: ((1,), masks[:, :1]), 3: ((2,), masks[:, 1:])})
    for before, after in zip(alone[:3], joined[:3], strict=True):
        assert torch.equal(before, after)
    assert not torch.equal(alone[3], joined[3][:, :2])


def test_removing_an_object_leaves_a_video_without_it(model):
    size = (40, 56)
    frames = random_frames(4, size)
    state = model.init_state()
    track(model, frames, {0: ((1, 2), boxes(2, size))}, removed={2: [1, 2]}, state=state)
    assert state.num_objects == 0
    assert state.memory is None or state.memory.tokens == 0


def test_id_is_never_used_twice(model):
    size = (40, 56)
    frames, masks = random_frames(4, size), boxes(1, size)
    with pytest.raises(InputError, match="already tracked"):
        track(model, frames, {0: ((3,), masks), 1: ((3,), masks)})
    with pytest.raises(InputError, match="removed earlier"):
        track(model, frames, {0: ((3,), masks), 2: ((3,), masks)}, removed={1: [3]})


def test_a_correction_is_certain_and_counts_from_there_on(config, model):
    """Masks of two frames: the second one moves object 3, beside object 6 that starts there."""
    size = (40, 56)
    frames, masks, other = random_frames(6, size), boxes(3, size), boxes(3, size).roll(7, dims=-2)
    begin, second = ((3, 5), masks[:, :2]), ((3, 6), torch.stack([other[:, 0], masks[:, 2]], dim=1))
    plain = track(model, frames, {0: begin, 3: ((6,), masks[:, 2:])})
    state, memory = model.init_state(), []
    with torch.no_grad():
        for t, frame in enumerate(frames):
            logits = advance(model, state, frame, {0: begin, 3: second}.get(t), correct=True)
            memory.append(0 if state.memory is None else state.memory.tokens)
            if t < 3:
                assert torch.equal(logits, plain[t])
            if t == 3:
                found = logits.argmax(dim=1)
                assert torch.equal(found == 1, other[:, 0].bool() & ~masks[:, 2].bool())
                assert torch.equal(found == 3, masks[:, 2].bool())
                assert logits.shape == plain[3].shape
            if t > 3:
                assert torch.isfinite(logits).all()
                assert config.get("sparse") or not torch.equal(logits, plain[t])  # random gates may reuse everything
    assert state.ids.ids == (3, 5, 6) and (state.memory is None or memory[3] >= memory[2] > 0)
    again = track(model, frames, {0: begin, 3: second}, correct=True)
    assert torch.equal(again[-1], logits)


def test_frame_of_another_size_is_refused(model):
    state = model.init_state()
    advance(model, state, random_frames(1, (48, 64))[0], None)
    with pytest.raises(InputError, match="start a new video"):
        advance(model, state, random_frames(1, (64, 64))[0], None)


def test_interleaved_videos_equal_videos_one_by_one(model):
    size = (40, 56)
    videos = [random_frames(5, size, seed=s) for s in (1, 2)]
    prompts = [(1,), boxes(1, size)], [(1, 5), boxes(2, size)]
    separate = [track(model, v, {0: tuple(p)}) for v, p in zip(videos, prompts, strict=True)]
    states = [model.init_state(), model.init_state()]
    mixed = [[], []]
    with torch.no_grad():
        for t in range(5):
            for i in (0, 1):
                mixed[i].append(advance(model, states[i], videos[i][t], tuple(prompts[i]) if t == 0 else None))
    for ours, theirs in zip(separate, mixed, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_state_can_be_saved_and_continued(model):
    size = (40, 56)
    frames, prompt = random_frames(6, size), ((1, 2), boxes(2, size))
    whole = track(model, frames, {0: prompt})
    state = model.init_state()
    track(model, frames[:3], {0: prompt}, state=state)
    buffer = io.BytesIO()
    torch.save(copy.deepcopy(state), buffer)
    buffer.seek(0)
    # Our own state, written two lines above: it may hold classes.
    restored = torch.load(buffer, weights_only=False)
    rest = track(model, frames[3:], state=restored)
    assert all(torch.equal(a, b) for a, b in zip(whole[3:], rest, strict=True))


def test_runs_in_bfloat16(model):
    size = (40, 56)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = track(model, random_frames(4, size), {0: ((1, 2), boxes(2, size))})
    assert all(o.dtype == torch.float32 and torch.isfinite(o).all() for o in outputs)


def trained(model):
    """Named parameters, without the stages of backbones that a config freezes."""
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    assert all("backbone." in name for name in frozen)
    return [(name, p) for name, p in model.named_parameters() if p.requires_grad]


def test_loss_reaches_every_parameter(model):
    model.train()
    batch = training_batch(model)
    losses = model(**batch, mode="loss")
    assert 0 <= float(losses["iou"]) <= 1
    total = sum(value for name, value in losses.items() if "loss" in name)
    total.backward()
    lacking = [name for name, p in trained(model) if p.grad is None or not torch.isfinite(p.grad).all()]
    assert lacking == []


def test_loss_of_clips_without_objects_is_zero_and_still_trains(model):
    model.train()
    batch = training_batch(model, clips=1)
    empty = batch["data_samples"][0]
    empty.labels = torch.zeros_like(empty.labels)
    empty.first_frames, empty.ids = (), ()
    losses = model(**batch, mode="loss")
    total = sum(value for name, value in losses.items() if "loss" in name)
    total.backward()
    assert float(total.detach()) == 0
    assert all(p.grad is not None for _, p in trained(model))


def test_loss_decreases_on_a_tiny_clip(model):
    model.train()
    batch = training_batch(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    values = []
    for _ in range(25):
        losses = model(**batch, mode="loss")
        total = sum(value for name, value in losses.items() if "loss" in name)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        values.append(float(total.detach()))
    assert sum(values[-3:]) < 0.75 * sum(values[:3])


def test_training_and_inference_share_the_frame_loop(model):
    """A clip unrolled by ``loss()`` gives the logits that stepping through it gives."""
    seen = []
    batch = training_batch(model, clips=1)
    model.observers.append(seen.append)
    torch.manual_seed(0)  # methods may draw in training; the loop seeds every iteration
    with torch.no_grad():
        model.loss(batch["inputs"], batch["data_samples"])
    model.observers.clear()
    torch.manual_seed(0)
    state = model.init_state(1, training=True)
    labels = batch["data_samples"][0].labels[None].long()
    with torch.no_grad():
        for t in range(batch["inputs"].shape[1]):
            prompt = None
            if t in (0, 1):
                prompt = Prompt(ids=(t + 1,), masks=(labels[:, t, None] == t + 1).float())
            logits = model.step(state, batch["inputs"][:, t], prompt, last=t == 2, labels=labels[:, t]).logits
            assert torch.equal(logits, seen[t].logits)


def test_no_frame_follows_the_last_one(model):
    size = (40, 56)
    state = model.init_state()
    x, geometry = model.data_preprocessor.frames(random_frames(1, size))
    prompt = Prompt(ids=(1,), masks=model.data_preprocessor.masks(boxes(1, size), geometry))
    model.step(state, x, prompt, last=True)
    with pytest.raises(InputError, match="last one"):
        model.step(state, x)


def test_unsafe_loading_is_refused(config):
    with pytest.raises(ConfigError, match="init_cfg of type 'Pretrained' would unpickle"):
        MODELS.build({**config, "init_cfg": {"type": "Pretrained", "checkpoint": "x.pth"}})


def test_stages_one_by_one_give_what_the_loop_gives(model):
    """Each inside ``running``; asking for deep features twice changes nothing."""
    if type(model).segment not in (VOSSegmentor.segment, SlotSegmentor.segment):  # they differ in training alone
        pytest.skip("it puts the stages together in its own way")
    size = (40, 56)
    state = model.init_state()
    track(model, random_frames(3, size), {0: ((1, 2), boxes(2, size))}, state=state)
    x, geometry = model.data_preprocessor.frames(random_frames(4, size)[3:])
    other = copy.deepcopy(state)
    with torch.no_grad():
        expected = model.step(other, x, geometry=geometry)
        with model.running(state) as run:
            features = model.encode_shallow(x)
            rows = model.rows(state)
            features = model.encode_deep(model.encode_deep(features))
            with run.whose(rows):
                coarse = model.decode_coarse(state, features, rows)
                logits = model.decode_fine(state, features, coarse, rows)
            logits = model.compose(state, logits, rows)
            masks = model.feedback(state, logits)
            with run.whose(rows):
                model.memorize(state, features, masks, rows, run)
    assert torch.equal(logits, expected.logits) and torch.equal(masks, other.masks)
    assert list(map(type, run.notes)) == list(map(type, expected.notes))
    assert state.objects.held.keys() == other.objects.held.keys() and state.layers.keys() == other.layers.keys()
    for name, (keys, values) in state.objects.held.items():
        assert keys == other.objects.held[name][0] and torch.equal(values, other.objects.held[name][1])
    assert state.memory is None or state.memory.tokens == other.memory.tokens
