"""The baselines that need no training."""

import numpy as np
import pytest

from tests.inference.colour_segmentor import moving_squares
from vosplug.inference.baselines import Baseline
from vosplug.utils.errors import InputError

CLIP = list(moving_squares(frames=4, size=(120, 160), noise=20))


def run(name):
    session = Baseline(name).new_session()
    return [session.step(image, labels if t == 0 else None) for t, (image, labels) in enumerate(CLIP)]


def iou(result, labels, value):
    return ((result == value) & (labels == value)).sum() / ((result == value) | (labels == value)).sum()


def test_copy_gives_the_first_mask_again():
    for result in run("copy"):
        np.testing.assert_array_equal(result, CLIP[0][1])


def test_flow_follows_what_moves():
    copied, warped = run("copy")[-1], run("flow")[-1]
    for value in (1, 2):
        assert iou(warped, CLIP[-1][1], value) > iou(copied, CLIP[-1][1], value) + 0.1


@pytest.mark.parametrize("name", ["copy", "flow"])
def test_objects_come_and_go(name):
    session = Baseline(name).new_session()
    assert not session.step(CLIP[0][0]).any()
    first = np.where(CLIP[1][1] == 1, 1, 0)
    np.testing.assert_array_equal(session.step(CLIP[1][0], first), first)
    result = session.step(*CLIP[2], ids=[2])
    assert set(np.unique(result)) == {0, 1, 2} and session.ids == (1, 2)
    np.testing.assert_array_equal(result == 2, CLIP[2][1] == 2)
    session.remove([1])
    assert set(np.unique(session.step(CLIP[3][0]))) == {0, 2}


@pytest.mark.parametrize("name", ["copy", "flow"])
def test_a_correction_replaces_what_was_there(name):
    session = Baseline(name).new_session()
    session.step(*CLIP[0])
    session.step(CLIP[1][0])
    moved = np.where(np.roll(CLIP[2][1], 30, axis=0) == 1, 1, 0)
    result = session.step(CLIP[2][0], moved, correct=True)
    np.testing.assert_array_equal(result == 1, moved == 1)
    assert session.ids == (1, 2) and (result == 2).any()


@pytest.mark.parametrize("name", ["copy", "flow"])
def test_the_same_input_is_refused_as_by_a_model(name):
    session = Baseline(name).new_session()
    session.step(*CLIP[0])
    with pytest.raises(InputError, match="already tracked"):
        session.step(*CLIP[1])
    with pytest.raises(InputError, match="without a mask"):
        session.step(CLIP[1][0], ids=[3])
    with pytest.raises(InputError, match="after frames of 120x160"):
        session.step(CLIP[1][0][1:])
    session.remove([1])
    with pytest.raises(InputError, match="removed earlier"):
        session.step(*CLIP[1], ids=[1])
    with pytest.raises(InputError, match="no object with id 1"):
        session.remove([1])


def test_unknown_names():
    with pytest.raises(InputError, match="Did you mean 'copy'"):
        Baseline("cpoy")
