"""AOT and DeAOT: how objects, groups, prompts and labels go through the stages."""

import json
import random

import pytest
import torch

from tests.contracts.helpers import boxes, build_example, build_model, random_frames, track, training_batch
from vosplug.inference import VOSSession
from vosplug.models.segmentors.identity_base import merged_logits
from vosplug.models.tasks import SupervisedClips
from vosplug.registry import SEGMENTORS
from vosplug.structures import ClipSample, Prompt, ReferencePrediction, StepOutput
from vosplug.utils.errors import ConfigError, InputError

SIZE = (33, 49)


@pytest.fixture(params=["AOT", "DeAOT"])
def model(request):
    return build_example(request.param, 1)


def counted(owner, name):
    """How often a method of one object is called, and with what."""
    calls, method = [], getattr(owner, name)

    def call(*args, **kwargs):
        calls.append(args)
        return method(*args, **kwargs)

    object.__setattr__(owner, name, call)
    return calls


def prompt(ids, masks):
    return Prompt(ids=tuple(ids), masks=masks, native=masks)


def test_groups_are_merged_by_hand():
    torch.manual_seed(0)
    groups = [torch.randn(3, 2, 2, dtype=torch.float64), torch.randn(2, 2, 2, dtype=torch.float64)]
    first, second = (x.softmax(dim=0) for x in groups)
    merged = merged_logits(groups)
    odds = [p / (1 - p) for p in (first[0] * second[0], first[1], first[2], second[1])]
    prob = torch.stack(odds) / sum(odds)
    assert torch.allclose(merged.softmax(dim=0), prob, atol=1e-12)
    sure = merged_logits([torch.tensor([[[-50.0]], [[50.0]]]), torch.tensor([[[50.0]], [[-50.0]]])])
    assert sure.flatten().tolist() == pytest.approx([-11.5129, 11.5129, -11.5129], abs=1e-2)


def test_many_objects_share_the_image_and_run_as_one_batch(model):
    frames, masks = random_frames(3, SIZE), boxes(25, SIZE)
    encoder, head = counted(model.encoder, "shallow"), counted(model.matching_head, "run")
    outputs = track(model, frames, {0: (tuple(range(1, 26)), masks)})
    assert len(encoder) == 3
    assert [len(x) for x, _ in head] == [3, 3, 3]  # the reference and two frames, three groups each
    assert [o.shape[1] for o in outputs] == [26] * 3
    assert all(torch.allclose(o.softmax(dim=1).sum(dim=1), torch.ones(1, *SIZE), atol=1e-5) for o in outputs)


def test_eleven_objects_are_two_groups_that_know_nothing_of_each_other(model):
    """What the first group computes of its ten objects does not depend on the eleventh."""
    frames, masks = random_frames(2, SIZE), boxes(11, SIZE)
    fine = counted(model, "compose")
    track(model, frames, {0: (tuple(range(1, 11)), masks[:, :10])})
    track(model, frames, {0: (tuple(range(1, 12)), masks)})
    ten, eleven = fine[1][1], fine[3][1]
    assert len(ten) == 1 and len(eleven) == 2
    assert torch.allclose(ten[0], eleven[0], atol=1e-5)


def test_logits_have_the_size_of_the_video_and_labels_are_fed_back_hard(model):
    session = VOSSession(model)
    frame = random_frames(1, (40, 70))[0].permute(1, 2, 0).numpy()
    label = boxes(2, (40, 70))[0, 0].numpy().astype("uint8") * 3
    outputs = []
    model.observers.append(outputs.append)
    session.step(frame, label)
    written = session.step(frame)
    state = session.views[0].state
    assert outputs[1].logits.shape == (1, 2, 40, 70) and state.frame_size == (33, 65)
    rows, columns = torch.arange(33) * 40 // 33, torch.arange(65) * 70 // 65
    nearest = torch.from_numpy(written)[rows][:, columns] == 3
    assert torch.equal(state.masks[0, 0].bool(), nearest)
    assert set(state.masks.unique().tolist()) <= {0.0, 1.0}


def test_given_masks_of_network_size_are_not_resized_again(model):
    """A mask of one pixel at the size of the frames would be lost on the way over a smaller video."""
    state = model.init_state()
    masks = torch.zeros(1, 1, *SIZE)
    masks[0, 0, 3, 4] = 1
    geometry = model.data_preprocessor.geometry((20, 30))
    x = model.data_preprocessor.normalize(random_frames(1, geometry.network))
    small = torch.zeros(1, 1, *geometry.network)
    small[0, 0, 3, 4] = 1
    with torch.no_grad():
        model.step(state, x, Prompt(ids=(1,), masks=small), geometry=geometry)
    assert torch.equal(state.masks, small)


def test_memory_holds_on_to_nothing_but_keys_and_values(model):
    """A view of a larger tensor would keep all of it."""
    state = model.init_state()
    track(model, random_frames(3, SIZE), {0: ((1, 2), boxes(2, SIZE))}, state=state)
    for entry in (*state.memory.kept, state.memory.latest):
        assert all(x.untyped_storage().nbytes() == x.numel() * x.element_size()
                   for x in entry.object_tensors.values())


def test_a_late_object_makes_its_frame_a_reference_for_every_group(model):
    frames, masks = random_frames(5, SIZE), boxes(12, SIZE)
    references = counted(model.matching_head, "reference")
    state = model.init_state()
    track(model, frames[:4], {0: (tuple(range(1, 12)), masks[:, :11]), 3: ((12,), masks[:, 11:])}, state=state)
    assert [len(x) for x, _ in references] == [2, 2]
    assert [e.frame for e in state.memory.kept] == [0, 2, 3] and state.memory.latest.frame == 3
    assert state.memory.kept[-1].prompted and state.memory.last_kept == 3
    with torch.no_grad():
        track(model, frames[4:], state=state)
    assert [e.frame for e in state.memory.kept] == [0, 2, 3]  # the gap of two counts from frame 3


def test_a_late_group_runs_beside_the_older_ones(model):
    frames, masks = random_frames(4, SIZE), boxes(11, SIZE)
    head = counted(model.matching_head, "run")
    state = model.init_state()
    outputs = track(model, frames, {0: (tuple(range(1, 11)), masks[:, :10]), 2: ((40,), masks[:, 10:])}, state=state)
    assert [len(x) for x, _ in head] == [1, 1, 1, 2, 1, 1]  # frame 3: memories of different lengths
    assert outputs[-1].shape[1] == 12 and state.ids.ids == (*range(1, 11), 40)


def test_pixels_of_a_removed_object_fall_to_what_is_left(model):
    frames, masks = random_frames(4, SIZE), boxes(3, SIZE)
    state = model.init_state()
    kept = track(model, frames[:2], {0: ((1, 2, 3), masks)}, state=state)[-1]
    model.remove_objects(state, [2])
    fine = counted(model, "compose")
    left = track(model, frames[2:3], state=state)[-1]
    assert left.shape[1] == 3 and kept.shape[1] == 4
    raw = fine[0][1][:, [0, 1, 3]]  # background, objects 1 and 3; slot 2 is retired
    native = torch.nn.functional.interpolate(raw, size=SIZE, mode="bilinear", align_corners=True)
    assert torch.allclose(left.softmax(dim=1), native.softmax(dim=1), atol=1e-6)


def test_a_group_that_is_left_empty_goes_with_its_memory(model):
    frames, masks = random_frames(6, SIZE), boxes(12, SIZE)
    state = model.init_state()
    track(model, frames[:2], {0: (tuple(range(1, 13)), masks)}, state=state)
    model.remove_objects(state, list(range(1, 11)))
    assert state.memory.kept[0].objects == 1 and [name for _, name in model.rows(state).keys] == ["group 1"]
    head = counted(model.matching_head, "run")
    outputs = track(model, frames[2:], {1: ((50,), masks[:, :1])}, state=state)
    assert [len(x) for x, _ in head] == [1] * 5 and outputs[-1].shape[1] == 4
    assert state.ids.ids == (11, 12, 50)
    model.remove_objects(state, [11, 12, 50])
    assert state.memory.tokens == 0


def test_sixty_objects_that_come_and_go_over_300_frames():
    """At most 12 at a time: no two living objects in one slot, no slot given twice, empty groups gone, ids right."""
    model, draw = build_example("DeAOT"), random.Random(0)
    size, waiting, living, given = (17, 33), list(range(1, 61)), [], {}
    frames, state = random_frames(300, size), model.init_state()
    for t, frame in enumerate(frames):
        if living and draw.random() < 0.18:
            gone = draw.sample(living, draw.randint(1, min(3, len(living))))
            model.remove_objects(state, gone)
            living = [value for value in living if value not in gone]
        new = []
        if len(living) < 12 and waiting and draw.random() < 0.3:
            new = [waiting.pop(0) for _ in range(min(draw.randint(1, 3), 12 - len(living), len(waiting)))]
            living += new
        output = track(model, frame[None], {0: (new, boxes(len(new), size))} if new else {}, state=state)[0]
        assert list(state.ids.ids) == living and output.shape == (1, len(living) + 1, *size), t
        groups = model.groups(state)
        places = {value: (groups.rows.keys[groups.row[0, o]], int(groups.slot[0, o]))
                  for o, value in enumerate(living)}
        assert len(set(places.values())) == len(living)
        assert all(given.setdefault(place, value) == value for value, place in places.items())
        assert set(groups.names) == {name for (_, name), _ in places.values()}
        entries = [*state.memory.kept, *state.memory.recent]
        assert all(entry.objects <= len(groups.names) and entry.valid.any() for entry in entries)
    assert not waiting and len(given) == 60


def test_any_ids_up_to_254(model):
    session = VOSSession(model)
    frame = random_frames(1, SIZE)[0].permute(1, 2, 0).numpy()
    label = torch.zeros(SIZE, dtype=torch.uint8)
    label[3:9, 3:9], label[12:20, 12:30], label[25:30, 5:9] = 254, 1, 77
    assert set(session.step(frame, label.numpy()).ravel()) == {0, 1, 77, 254}
    with pytest.raises(InputError):
        VOSSession(model).step(frame, label.numpy().astype("int64") + 300)


def test_options_are_checked():
    with pytest.raises(ConfigError, match="DeAOT.max_objects must be at least 1, got 0"):
        SEGMENTORS.build(SEGMENTORS.example("DeAOT", max_objects=0))
    with pytest.raises(ConfigError, match=r"labels_in_memory must lie in \[0, 1\], got 2"):
        SEGMENTORS.build(SEGMENTORS.example("DeAOT", labels_in_memory=2))


def test_a_group_may_be_smaller():
    model = build_model(SEGMENTORS.example("AOT", max_objects=2))
    head = counted(model.matching_head, "run")
    outputs = track(model, random_frames(2, SIZE), {0: ((1, 2, 3), boxes(3, SIZE))})
    assert [len(x) for x, _ in head] == [2, 2] and outputs[-1].shape[1] == 4


# Training ------------------------------------------------------------------------------------------------------------


def memorised(model, batch):
    """Identity maps that were embedded, and the record, of a batch of clips."""
    planes = counted(model.identity_bank, "forward")
    record = SupervisedClips().record(model, batch["inputs"], batch["data_samples"])
    return [args[0] for args in planes], record


@pytest.mark.parametrize("iteration, labels", [(0, True), (49, True), (50, False), (99, False)])
def test_labels_are_memorised_until_the_switch_then_the_bank_is_frozen(iteration, labels):
    model = build_model(SEGMENTORS.example("DeAOT", labels_in_memory=0.5, shuffle_identities=False)).train()
    model.set_progress(iteration, 100)
    batch = training_batch(model, clips=1, length=4)
    planes, record = memorised(model, batch)
    truth = record.frames[2].labels[0] == 1
    assert torch.equal(planes[2][0, 1].bool(), truth) is labels
    predicted = record.frames[2].logits[0].argmax(dim=0) == 1
    assert torch.equal(planes[2][0, 1].bool(), predicted) is not labels
    record.frames[-1].logits.logsumexp(dim=1).sum().backward()
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad and "backbone" not in name]
    assert (frozen == []) is labels
    assert all(p.grad is None for p in model.identity_bank.parameters()) is not labels


def test_nothing_is_forced_before_training_tells_its_progress(model):
    assert not model.teacher_forcing and all(p.requires_grad for p in model.identity_bank.parameters())
    model.set_progress(0, 100)
    assert not model.teacher_forcing  # labels_in_memory is 0


def test_the_prediction_of_a_reference_is_made_while_a_loss_asks(model):
    model.train()
    batch = training_batch(model, clips=2)
    record = SupervisedClips().record(model, batch["inputs"], batch["data_samples"])
    notes = list(record.noted(ReferencePrediction))
    assert len(notes) == 2  # frame 0, and the frame of the late object
    assert notes[0].logits.shape == record.frames[0].logits.shape and notes[0].clips.tolist() == [True, True]
    assert not any(torch.isinf(notes[0].logits[:, :2]).flatten())
    model.losses[-1].set_progress(100, 100)
    record = SupervisedClips().record(model, batch["inputs"], batch["data_samples"])
    assert list(record.noted(ReferencePrediction)) == []


def test_identities_are_shuffled_in_training_only(model):
    labels = torch.zeros(2, *SIZE, dtype=torch.uint8)
    labels[:, 2:9, 2:9] = 1
    sample = ClipSample(labels=labels, first_frames=(0,), ids=(1,))
    batch = model.data_preprocessor({"inputs": [random_frames(2, SIZE)], "data_samples": [sample]}, True)
    used = set()
    for seed in range(12):
        torch.manual_seed(seed)
        planes, _ = memorised(model.train(), batch)
        used |= set(planes[0][0].flatten(1).any(dim=1).nonzero().flatten().tolist()) - {0}
    assert len(used) > 4 and used <= set(range(1, 11))
    planes = counted(model.identity_bank, "forward")
    track(model.eval(), random_frames(1, SIZE), {0: ((1,), boxes(1, SIZE))})
    assert planes[-1][0][0].unique().tolist() == [0, 1]  # labels, where nothing is trained


# Sizes ---------------------------------------------------------------------------------------------------------------


@pytest.mark.shared
def test_every_size_of_the_table_through_a_session(shared, model):
    """Frames of all sizes, scales and limits reach the network at the sizes of the source, and come back."""
    rows = json.loads((shared / "golden" / "aot_preprocess.json").read_text())["sizes"]
    rows = [row for row in rows if row["align_corners"]]
    seen = []

    def step(state, frame, prompt, *, geometry, last, features):
        seen.append((tuple(frame.shape[-2:]), geometry))
        return StepOutput(logits=torch.zeros(1, 2, 9, 9), ids=(1,))

    object.__setattr__(model, "step", step)
    for row in rows:
        limits = {"max_short_side": row["max_short_edge"], "max_long_side": row["max_long_edge"]}
        session = VOSSession(model, scales=(row["scale"],), **{k: v and int(v) for k, v in limits.items()})
        native = tuple(row["input"])
        image = torch.zeros(*native, 3, dtype=torch.uint8).numpy()
        label = torch.ones(native, dtype=torch.uint8).numpy()
        session.views[0].state.ids = session.views[0].state.ids.add((1,))
        output = session._logits(image, None, last=False)
        assert seen[-1][0] == tuple(row["output"]) and output.shape == (2, *native) and label.shape == native
    assert len(seen) == 39


@pytest.mark.parametrize("native", [(8, 8), (17, 9), (240, 427), (427, 240), (1100, 1940)])
def test_any_logits_are_restored_to_the_size_of_the_video(model, native):
    geometry = model.data_preprocessor.geometry(native, max_long_side=1040)
    height, width = geometry.network
    assert (height - 1) % 16 == (width - 1) % 16 == 0
    logits = torch.randn(1, 2, (height - 1) // 4 + 1, (width - 1) // 4 + 1)
    restored = model.data_preprocessor.restore(logits, geometry)
    assert restored.shape == (1, 2, *native)
    assert torch.allclose(restored[..., 0, 0], logits[..., 0, 0]) and torch.allclose(
        restored[..., -1, -1], logits[..., -1, -1], atol=1e-5)
