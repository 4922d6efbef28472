import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vosplug.datasets.jump_rules import (
    JUMP_RULES,
    anywhere_frames,
    aot_frames,
    cfbi_frames,
    distinct_frames,
    neighbour_frames,
    reflected,
    stcn_frames,
)

CASES = {"seed": st.integers(0, 10**6), "count": st.integers(2, 60), "length": st.integers(1, 9),
         "jump": st.integers(1, 30)}


@given(**CASES)
def test_frames_exist_and_are_in_order(seed, count, length, jump):
    for rule in JUMP_RULES.values():
        frames = rule(np.random.default_rng(seed), count, length, jump)
        assert len(frames) == length
        assert min(frames) >= 0 and max(frames) < count
        assert rule in (aot_frames, anywhere_frames, cfbi_frames) or frames == sorted(frames)


@given(**CASES)
def test_stcn_keeps_its_distance(seed, count, length, jump):
    frames = stcn_frames(np.random.default_rng(seed), count, length, jump)
    assert all(b - a <= jump + 1 for a, b in zip(frames, frames[1:], strict=False))


@given(**CASES)
def test_distinct_frames_are_distinct_and_near(seed, count, length, jump):
    frames = distinct_frames(np.random.default_rng(seed), count, length, jump)
    assert len(set(frames)) == min(length, count)
    assert all(b - a <= jump for a, b in zip(frames, frames[1:], strict=False))


@given(**CASES)
def test_neighbours_follow_one_another_and_stop_at_the_end(seed, count, length, jump):
    frames = neighbour_frames(np.random.default_rng(seed), count, length, jump)
    assert frames == [min(frames[0] + k, count - 1) for k in range(length)]
    assert length > count or frames[-1] == frames[0] + length - 1


@pytest.mark.parametrize("rule", JUMP_RULES.values())
def test_all_frames_of_a_video_are_used(rule):
    drawn = {f for seed in range(400) for f in rule(np.random.default_rng(seed), 20, 3, 5)}
    assert len(drawn) >= 17


@pytest.mark.parametrize(("count", "jump"), [(50, 10), (12, 5), (4, 25)])
def test_three_frames_are_distributed_as_published(count, jump):
    rng, step = np.random.default_rng(1), min(count, jump)
    start = rng.integers(0, count - step + 1, 20000)
    second = np.minimum(np.minimum(start + rng.integers(1, step + 2, 20000), count - step), count - 1)
    third = np.minimum(np.minimum(second + rng.integers(1, step + 2, 20000), count - step // 2), count - 1)
    ours = np.array([stcn_frames(rng, count, 3, jump) for _ in range(20000)])
    for column, expected in enumerate((start, second, third)):
        difference = np.bincount(ours[:, column], minlength=count) - np.bincount(expected, minlength=count)
        assert np.abs(difference).max() < 500


@given(**CASES)
def test_cfbi_draws_a_reference_anywhere_and_then_frames_as_aot(seed, count, length, jump):
    reference, *others = cfbi_frames(np.random.default_rng(seed), count, length, jump)
    rng = np.random.default_rng(seed)
    assert reference == rng.integers(count)
    assert others == (aot_frames(rng, count, length - 1, jump) if length > 1 else [])


def test_gaps_of_cfbi_are_uniform_and_reflected_at_the_end():
    rng = np.random.default_rng(0)
    gaps = np.concatenate([np.diff(cfbi_frames(rng, 10_000, 5, 3)[1:]) for _ in range(2000)])
    inside = gaps[gaps > 0]
    assert set(np.unique(inside)) == {1, 2, 3} and np.abs(np.bincount(inside)[1:] / len(inside) - 1 / 3).max() < 0.02
    short = [cfbi_frames(rng, 4, 5, 3)[1:] for _ in range(200)]
    assert any(b < a for frames in short for a, b in zip(frames, frames[1:], strict=False))
    assert max(map(max, short)) == 3


@given(**CASES)
def test_aot_keeps_its_distances_and_turns_round_at_the_end(seed, count, length, jump):
    frames = aot_frames(np.random.default_rng(seed), count, length, jump)
    rng = np.random.default_rng(seed)
    place, expected = int(rng.integers(count)), []
    for number in range(length):
        place += int(rng.integers(jump)) + 1 if number else 0
        expected.append(place)
    gaps = np.diff(expected)
    assert ((gaps >= 1) & (gaps <= jump)).all()
    assert frames == [reflected(k, count) for k in expected]
    assert all(frame == k for frame, k in zip(frames, expected, strict=True) if k < count)


def test_reflection():
    assert [reflected(k, 4) for k in range(9)] == [0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert reflected(5, 1) == 0


def test_aot_draws_all_gaps_alike():
    gaps = np.diff([aot_frames(np.random.default_rng(seed), 10_000, 2, 12) for seed in range(6_000)]).ravel()
    counts = np.bincount(np.abs(gaps), minlength=13)[1:13]
    assert counts.sum() >= 5_990 and counts.min() > 400 and counts.max() < 600
