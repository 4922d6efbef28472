import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vosplug.datasets.jump_rules import JUMP_RULES, distinct_frames, stcn_frames

CASES = {"seed": st.integers(0, 10**6), "count": st.integers(2, 60), "length": st.integers(1, 9),
         "jump": st.integers(1, 30)}


@given(**CASES)
def test_frames_exist_and_are_in_order(seed, count, length, jump):
    for rule in JUMP_RULES.values():
        frames = rule(np.random.default_rng(seed), count, length, jump)
        assert len(frames) == length
        assert frames == sorted(frames)
        assert frames[0] >= 0 and frames[-1] < count


@given(**CASES)
def test_stcn_keeps_its_distance(seed, count, length, jump):
    frames = stcn_frames(np.random.default_rng(seed), count, length, jump)
    assert all(b - a <= jump + 1 for a, b in zip(frames, frames[1:], strict=False))


@given(**CASES)
def test_distinct_frames_are_distinct_and_near(seed, count, length, jump):
    frames = distinct_frames(np.random.default_rng(seed), count, length, jump)
    assert len(set(frames)) == min(length, count)
    assert all(b - a <= jump for a, b in zip(frames, frames[1:], strict=False))


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
