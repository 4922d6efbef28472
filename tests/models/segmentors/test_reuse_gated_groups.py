"""Reuse gates over methods whose rows are groups of objects, and whose decoders look at previous masks."""

import torch
import torch.nn.functional as F

from tests.contracts.helpers import boxes, build_model, random_frames, track, training_batch
from tests.contracts.parts import rows_of
from tests.models.segmentors.states import same
from vosplug.models.decoders.refiner import resize
from vosplug.models.layers.reuse import MovedRows
from vosplug.models.segmentors.reuse_gated import FEATURE, LOGITS, SCORE, TEMPLATE
from vosplug.models.segmentors.ttvos import MASKS
from vosplug.registry import SEGMENTORS
from vosplug.structures import Decision, RowStore

SIZE = (40, 56)


def gate(number, **options):
    """An example of a gated model that reuses everything it may."""
    return build_model(SEGMENTORS.example("ReuseGated", number, **{"tau": 0.0, **options}))


def aot(**options):
    """A gated DeAOT."""
    return gate(6, **options)


def decisions(model):
    """What a model decides from here on, frame by frame."""
    seen = []
    model.observers.append(lambda output: seen.extend(output.noted(Decision)))
    return seen


def test_the_objects_of_a_group_decide_together():
    model = aot()
    state, seen = model.init_state(), decisions(model)
    masks = boxes(3, SIZE)
    track(model, random_frames(3, SIZE), {0: ((4, 2, 7), masks)}, state=state)
    assert [(d.keys, d.reused.tolist()) for d in seen] == [(((0, "group 0"),), [True])] * 2
    rows = model.rows(state)
    assert len(rows) == 1 and state.objects.read(FEATURE, rows).shape[0] == 1
    union = state.objects.read(SCORE, rows)  # of the first frame: no other one was computed
    prompt = model.data_preprocessor.masks(masks.amax(dim=1, keepdim=True), state.geometry)
    assert torch.equal(union, F.interpolate(prompt, size=union.shape[-2:]))


def test_a_frame_that_starts_objects_is_computed_for_all_groups_and_the_group_begins_anew():
    model = aot()
    state, seen = model.init_state(), decisions(model)
    frames, masks = random_frames(6, SIZE), boxes(12, SIZE)
    track(model, frames[:2], {0: (tuple(range(1, 12)), masks[:, :11])}, state=state)  # two groups
    before = {name: state.objects.read(name, model.rows(state)).clone() for name in (TEMPLATE, SCORE)}
    track(model, frames[2:3], {0: ((20,), masks[:, 11:])}, state=state)  # joins the second group
    after = {name: state.objects.read(name, model.rows(state)) for name in (TEMPLATE, SCORE)}
    assert [d.reused.tolist() for d in seen] == [[True, True], [False, False]]
    assert torch.equal(after[TEMPLATE][0], before[TEMPLATE][0]) and not torch.equal(after[SCORE][0], before[SCORE][0])
    assert not torch.equal(after[TEMPLATE][1], before[TEMPLATE][1])
    given = model.data_preprocessor.masks(masks[:, 11:], state.geometry) > 0.5
    small = F.interpolate(given.float(), size=after[SCORE].shape[-2:])
    assert (after[SCORE][1][small[0] > 0] == 1).all() and set(after[SCORE][1].unique().tolist()) <= {0, 1}
    track(model, frames[3:], state=state)
    assert [d.reused.tolist() for d in seen[2:]] == [[True, True]] * 3


def test_a_group_that_loses_an_object_is_computed_next_and_one_without_objects_leaves_nothing():
    model = aot(mode="copy")
    state, seen = model.init_state(), decisions(model)
    frames, masks = random_frames(6, SIZE), boxes(11, SIZE)
    track(model, frames, {0: (tuple(range(1, 12)), masks)}, {2: [3], 4: [11]}, state)
    assert [d.keys for d in seen] == [((0, "group 0"), (0, "group 1"))] * 3 + [((0, "group 0"),)] * 2
    assert [d.reused.tolist() for d in seen] == [[True, True], [False, True], [True, True], [True], [True]]
    assert all((0, "group 1") not in keys for keys, _ in state.objects.held.values())
    assert state.objects.read(LOGITS, model.rows(state)).shape[:2] == (1, 11)


def test_copies_of_a_group_show_the_given_masks():
    model = aot(mode="copy")
    size = (49, 65)  # logits have a quarter of that
    masks = torch.zeros(1, 2, *size)
    masks[:, 0, 4:21, 4:25], masks[:, 1, 24:41, 32:61] = 1, 1
    outputs = track(model, random_frames(3, size), {0: ((5, 8), masks)})
    for out in outputs[1:]:
        labels = out.argmax(dim=1)
        for channel, mask in enumerate(masks[0], start=1):
            both = ((labels[0] == channel) & (mask > 0)).sum() / ((labels[0] == channel) | (mask > 0)).sum()
            assert both > 0.85


def test_training_of_a_gated_group_reads_the_union_of_its_objects():
    model = aot().train()
    seen = decisions(model)
    losses = model(**training_batch(model), mode="loss")
    assert {"loss_delta", "loss_gate", "loss_reference"} <= set(losses)
    assert [d.forced.tolist() for d in seen] == [[True, True], [False, False]]  # an object starts at frame 1
    assert all(((d.iou >= 0) & (d.iou <= 1)).all() for d in seen)


def test_the_decoder_of_a_reused_row_sees_the_estimate_as_its_newest_mask():
    model = gate(5)
    state, frames = model.init_state(), random_frames(3, SIZE)
    track(model, frames[:1], {0: ((1, 2), boxes(2, SIZE))}, state=state)
    rows, seen, inner = model.rows(state), [], model.segmentor
    model.gate.forward = lambda inputs: torch.tensor([0.9 if name == 1 else 0.0 for _, name in inputs.rows.keys])
    model.tau = 0.5
    kept = state.objects.read(MASKS, rows).clone()
    head = inner.matching_head.forward
    inner.matching_head.forward = lambda *args: (seen.append(args[1]), head(*args))[1]
    changes, translate = [], model.translate
    model.translate = lambda *args: (changes.append(translate(*args)), changes[-1])[1]
    track(model, frames[1:2], state=state)
    (masks,), ((_, change),) = seen, changes
    estimate = resize(change.score + change.delta, kept.shape[-2:]).clamp(0, 1)[0]
    assert torch.equal(masks[1], kept[1]) and torch.equal(masks[0, 2:], kept[0, 2:])
    assert torch.allclose(masks[0, :2], torch.cat([1 - estimate, estimate])) and not torch.equal(masks[0], kept[0])


def test_estimates_are_put_where_rows_are_reused_and_carry_gradients_in_training():
    rows = rows_of([[True, True, True]])
    x, estimates = torch.zeros(3, 1, 1, 1), torch.tensor([5.0, 7.0]).view(2, 1, 1, 1).requires_grad_()
    some = rows.select([True, False, True])
    assert MovedRows(some, estimates).put(estimates, x, rows).flatten().tolist() == [5, 0, 7]
    other = rows.select([False, True, False])
    assert MovedRows(some, estimates).put(estimates, x[1:2], other).flatten().tolist() == [0]
    share = torch.tensor([0.25, 0.75], requires_grad=True)
    out = MovedRows(some, estimates, share, torch.tensor([False, True])).put(estimates, x, rows)
    assert out.flatten().tolist() == [0, 0, 7]
    out.sum().backward()
    assert estimates.grad.flatten().tolist() == [0.25, 0.75] and share.grad.tolist() == [5, 7]


def test_one_tensor_of_a_row_can_be_forgotten():
    store, rows = RowStore(), rows_of([[True, True]])
    for name in ("a", "b"):
        store.write(name, rows, torch.arange(2.0))
    store.forget("a", {rows.keys[0]})
    store.forget("nothing", {rows.keys[0]})
    assert store.has("a", rows).tolist() == [False, True] and store.has("b", rows).tolist() == [True, True]
    store.forget("a", {rows.keys[1]})
    assert "a" not in store and same(store.read("b", rows), torch.arange(2.0))
