"""What a clip hands on to the next (section 3.3), and the hand-crafted rule of Table 1d."""

import pytest
import torch

from vosplug.models.tracklets.linking import ClipTracks, HandCraftedLinking, QueryLinking, fresh_ids
from vosplug.structures import ObjectIds, VideoState

SIZE = (40, 80)


def clip(scores, count=2):
    """A clip of tracklets with these best scores (T, N) and the same boxes and masks."""
    scores = torch.tensor(scores)[None, ..., None].expand(-1, -1, -1, 3)
    length = scores.shape[1]
    return ClipTracks(scores=scores, boxes=torch.tensor([[0.0, 0.0, 20.0, 20.0], [40.0, 10.0, 60.0, 30.0]]).expand(
        1, length, -1, -1), masks=torch.ones(1, length, count, 8, 8), labels=torch.tensor([[0, 1]]), ids=[ObjectIds()])


def test_the_mean_over_time_is_carried():
    link, state = QueryLinking(), VideoState(batch_size=1)
    link.start(state, torch.zeros(1, 2, 4))
    queries = torch.arange(24.0).view(1, 3, 2, 4)
    link.finish(state, queries, clip([[0.9, 0.9]] * 3), SIZE)
    expected = torch.tensor([[[8.0, 9, 10, 11], [12, 13, 14, 15]]])
    torch.testing.assert_close(link.start(state, torch.zeros(1, 2, 4)), expected)


def test_a_tracklet_that_any_frame_shows_is_no_background():
    link, state = QueryLinking(reinit_after=1, background_score=0.5), VideoState(batch_size=1)
    initial = torch.full((1, 2, 4), -1.0)
    link.start(state, initial)
    before = state.cache["ids"][0].ids
    queries = torch.ones(1, 2, 2, 4)
    link.finish(state, queries, clip([[0.9, 0.1], [0.1, 0.1]]), SIZE)  # the first is shown by frame 0 alone
    started = link.start(state, initial)
    assert started[0, :, 0].tolist() == [1.0, -1.0]
    after = state.cache["ids"][0].ids
    assert after[0] == before[0] and after[1] not in before


def test_ids_count_from_one_and_never_come_again():
    assert fresh_ids(ObjectIds(), [], 2) == ObjectIds((1, 2))
    assert fresh_ids(ObjectIds((1, 2)), [0], 2) == ObjectIds((3, 2), frozenset({1}))
    assert fresh_ids(ObjectIds((), frozenset({4})), [], 2) == ObjectIds((5, 6), frozenset({4}))


def test_background_is_counted_in_a_row():
    link, state = QueryLinking(reinit_after=2, background_score=0.5), VideoState(batch_size=1)
    initial = torch.zeros(1, 2, 4)
    link.start(state, initial)
    for score in (0.1, 0.9, 0.1):  # never two in a row
        link.finish(state, torch.ones(1, 1, 2, 4), clip([[score, 0.9]]), SIZE)
        assert link.start(state, initial)[0, 0, 0] == 1
    link.finish(state, torch.ones(1, 1, 2, 4), clip([[0.1, 0.9]]), SIZE)
    assert link.start(state, initial)[0, 0, 0] == 0


def test_affinity_is_the_weighted_sum_and_distance_is_taken_off():
    mask = torch.zeros(10, 20, dtype=torch.bool)
    mask[:5, :5] = True
    moved = mask.roll(2, dims=1)
    a = dict(box=torch.tensor([0.0, 0.0, 20.0, 20.0]), mask=mask, label=torch.tensor(1))
    b = dict(box=torch.tensor([8.0, 0.0, 28.0, 20.0]), mask=moved, label=torch.tensor(1))
    link = HandCraftedLinking(box_iou=2.0, box_l1=3.0, mask_iou=5.0, same_class=7.0)
    expected = 2 * 240 / 560 - 3 * (8 / 80 + 8 / 80) + 5 * 15 / 35 + 7
    assert float(link.affinity(a, b, SIZE)) == pytest.approx(expected, rel=1e-5)
    other = dict(b, label=torch.tensor(2))
    assert float(link.affinity(a, other, SIZE)) == pytest.approx(expected - 7, rel=1e-5)


def test_the_nearest_track_is_continued():
    link, state = HandCraftedLinking(min_affinity=0.0), VideoState(batch_size=1)
    first = clip([[0.9, 0.9]])
    queries = torch.zeros(1, 1, 2, 4)
    link.start(state, queries[:, 0])
    names = link.finish(state, queries, first, SIZE)[0].ids
    assert names == (1, 2)
    swapped = ClipTracks(scores=first.scores, boxes=first.boxes.flip(2), masks=first.masks,
                         labels=first.labels.flip(1), ids=first.ids)
    assert link.finish(state, queries, swapped, SIZE)[0].ids == names[::-1]
