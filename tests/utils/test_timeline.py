"""Times of frames: what is missing, and which number a frame has."""

import warnings

import pytest

from vosplug.utils.timeline import Timeline


def test_a_constant_rate_with_a_gap():
    timeline = Timeline([0.1 * t for t in range(30) if t not in (9, 10)])
    assert timeline.constant and timeline.period == pytest.approx(0.1)
    assert timeline.gap(0.8, 1.1) == "2 frames are missing between 0.800 s and 1.100 s"
    assert timeline.gap(0.7, 0.8) is None and timeline.number(1.1) == 11


@pytest.mark.parametrize("times", [[0, 1, 11], [0, 1, 11, 12, 112], [0.0, 0.04, 6.0, 12.5, 40.0]])
def test_steps_of_any_length_have_a_usual_one(times):
    """Also where no step is near the mean of the two in the middle."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        timeline = Timeline(times)
    assert timeline.period > 0 and not timeline.constant
    assert timeline.gap(times[0], times[1]) is None and timeline.number(times[0]) == 0


def test_without_times_nothing_is_claimed():
    for times in ([], [0.0], [0.0] * 20):
        assert Timeline(times).period is None and Timeline(times).gap(0, 100) is None
