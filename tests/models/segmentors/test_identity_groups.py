"""Groups and slots: who has which identity, for how long."""

import random

import pytest
import torch

from vosplug.models.segmentors.identity_groups import IdentitySlots
from vosplug.structures import Prompt, VideoState


def start(state, ids, valid=None):
    masks = torch.zeros(state.batch_size, len(ids), 2, 2)
    state.start_objects(Prompt(ids=tuple(ids), masks=masks, valid=valid))


def remove(state, slots, ids):
    left = slots.of(state).columns_without([state.ids.channel(value) for value in ids])
    state.drop_objects(list(ids), columns=left)
    slots.retire(state)
    return left.tolist()


def places(state, slots):
    """Id -> (name of its group, slot) of the one video of a state."""
    groups = slots.of(state)
    return {value: (groups.rows.keys[groups.row[0, o]][1], int(groups.slot[0, o]))
            for o, value in enumerate(state.ids.ids)}


def test_slots_follow_the_order_of_appearance():
    state, slots = VideoState(), IdentitySlots(10)
    start(state, (10, 3))
    start(state, (1,))
    assert places(state, slots) == {10: ("group 0", 1), 3: ("group 0", 2), 1: ("group 0", 3)}
    assert slots.of(state).members((0, "group 0")) == ([0, 1, 2], [1, 2, 3])


def test_a_full_group_is_followed_by_another():
    state, slots = VideoState(), IdentitySlots(3)
    start(state, range(1, 8))
    assert [places(state, slots)[value] for value in (3, 4, 7)] == [
        ("group 0", 3), ("group 1", 1), ("group 2", 1)]
    groups = slots.of(state)
    assert groups.names == ("group 0", "group 1", "group 2") and len(groups.rows) == 3 and groups.rows.full


def test_slots_of_removed_objects_are_retired_and_free_ones_taken_first():
    state, slots = VideoState(), IdentitySlots(3)
    start(state, (1, 2))
    assert remove(state, slots, [1]) == [0]
    start(state, (5, 6))
    assert places(state, slots) == {2: ("group 0", 2), 5: ("group 0", 3), 6: ("group 1", 1)}


def test_a_group_without_objects_goes_and_its_free_slots_with_it():
    state, slots = VideoState(), IdentitySlots(3)
    start(state, (1, 2, 3, 4))
    assert remove(state, slots, [4]) == [0]
    start(state, (5,))
    assert places(state, slots)[5] == ("group 2", 1)
    assert remove(state, slots, [1, 2, 3]) == [1]
    assert slots.of(state).names == ("group 2",)


def test_nothing_is_left_of_nobody():
    state, slots = VideoState(), IdentitySlots(3)
    assert len(slots.of(state).rows) == 0 and slots.of(state).names == ()
    start(state, (1,))
    assert remove(state, slots, [1]) == []
    assert len(slots.of(state).rows) == 0


def test_videos_of_a_batch_have_groups_of_their_own():
    state, slots = VideoState(batch_size=3), IdentitySlots(2)
    start(state, (1, 2, 3), valid=torch.tensor([[True, True, True], [False, True, False], [False, False, False]]))
    groups = slots.of(state)
    assert groups.rows.keys == ((0, "group 0"), (0, "group 1"), (1, "group 0"))
    assert groups.slot.tolist() == [[1, 2, 1], [0, 1, 0], [0, 0, 0]]
    assert groups.row.tolist() == [[0, 0, 1], [-1, 2, -1], [-1, -1, -1]]


def test_masks_by_identity():
    state, slots = VideoState(), IdentitySlots(2)
    start(state, (1, 2, 3))
    masks = torch.zeros(1, 3, 2, 2)
    masks[0, 0, 0, 0] = masks[0, 1, 0, 1] = masks[0, 2, 1, 1] = 1
    remove(state, slots, [1])
    groups = slots.of(state)
    planes = groups.planes(masks[:, 1:], groups.rows, 2)
    assert planes.shape == (2, 3, 2, 2)
    assert planes[0].argmax(dim=0).tolist() == [[0, 2], [0, 0]]  # object 2 keeps slot 2; the other group is background
    assert planes[1].argmax(dim=0).tolist() == [[0, 0], [0, 1]]
    assert torch.equal(planes.sum(dim=1), torch.ones(2, 2, 2))
    assert torch.equal(groups.planes(masks[:, 1:], groups.rows.select([False, True]), 2), planes[1:])
    labels = groups.labels(masks[:, 1:], groups.rows)
    assert labels.dtype == torch.uint8 and labels.tolist() == [[[0, 2], [0, 0]], [[0, 0], [0, 1]]]
    assert groups.labels(masks[:, 1:], groups.rows.select([False, True])).tolist() == labels[1:].tolist()


@pytest.mark.parametrize("masks", [[[[0.5]], [[0.0]]], [[[1.0]], [[1.0]]], [[[0.5]], [[0.5]]]])
def test_masks_that_are_not_hard_or_overlap_have_no_labels(masks):
    state, slots = VideoState(), IdentitySlots(3)
    start(state, (1, 2))
    groups = slots.of(state)
    assert groups.labels(torch.tensor([masks]), groups.rows) is None


def test_training_shuffles_identities():
    seen = set()
    for seed in range(40):
        torch.manual_seed(seed)
        state, slots = VideoState(batch_size=2), IdentitySlots(10)
        start(state, (1, 2))
        groups = slots.of(state, shuffle=True)
        assert (groups.slot[:, 0] != groups.slot[:, 1]).all()
        seen |= set(groups.slot.flatten().tolist())
    assert seen == set(range(1, 11))


@pytest.mark.parametrize("seed", range(3))
def test_sixty_objects_that_come_and_go_over_300_frames(seed):
    """Never two living objects in one slot, no slot given twice, groups without objects gone, ids right."""
    draw = random.Random(seed)
    state, slots = VideoState(), IdentitySlots(10)
    waiting, living, given = list(range(1, 61)), [], {}
    for _ in range(300):
        if living and draw.random() < 0.18:
            gone = draw.sample(living, draw.randint(1, min(3, len(living))))
            remove(state, slots, gone)
            living = [value for value in living if value not in gone]
        room = min(12 - len(living), len(waiting))
        if room and draw.random() < 0.3:
            new = [waiting.pop(0) for _ in range(draw.randint(1, min(3, room)))]
            start(state, new)
            living += new
        now = places(state, slots)
        assert list(now) == living == list(state.ids.ids)
        assert len(set(now.values())) == len(now)
        for value, place in now.items():
            assert given.setdefault(place, value) == value, "a retired slot was given again"
            assert 1 <= place[1] <= 10
        groups = slots.of(state)
        assert set(groups.names) == {name for name, _ in now.values()}
        assert all(groups.members(key)[0] for key in groups.rows.keys)
    assert not waiting and len(given) == 60
