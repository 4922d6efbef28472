"""The run of a frame: found by what runs inside, one per video and frame."""

import pytest
import torch
from torch import nn

from vosplug.models.frame_run import FrameRun, current_run, is_training
from vosplug.structures import Rows, VideoState


class Odd:
    """A policy that looks at the number of the frame."""

    def decide(self, state, prompted, last):
        return {"odd": state.frame_index % 2 == 1, "prompted": prompted, "last": last}


def begin(state, policies=(), **options):
    return FrameRun.begin(state, policies, **{"prompted": False, "last": False, **options})


def test_it_is_found_inside_and_gone_outside():
    state = VideoState()
    assert current_run() is None
    with begin(state) as run:
        assert current_run() is run and run.state is state
        run.note("done")
    assert current_run() is None and run.notes == ["done"]


def test_policies_are_asked_once_before_the_frame():
    state = VideoState(frame_index=3)
    with begin(state, [Odd(), type("P", (), {"decide": lambda self, *args: {"dense": True}})()], prompted=True) as run:
        assert run.plan == {"odd": True, "prompted": True, "last": False, "dense": True}


def test_inner_models_of_one_video_share_the_run_and_other_videos_do_not():
    first, second = VideoState(), VideoState()
    with begin(first) as outer:
        with begin(first) as inner:
            assert inner is outer
        with begin(second) as other:
            assert other is not outer and current_run() is other
        assert current_run() is outer


def test_whose_rows_run():
    rows = Rows.of_table(torch.tensor([[True, True]]), (1, 2))
    with begin(VideoState()) as run:
        assert run.rows is None and not run.nobody
        with run.whose(rows):
            assert run.rows is rows and not run.nobody
            with run.whose(None):
                assert run.rows is None and run.nobody
            assert run.rows is rows and not run.nobody
        assert run.rows is None and not run.nobody


def test_an_error_ends_the_run():
    with pytest.raises(ValueError, match="inside"), begin(VideoState()):
        raise ValueError("inside")
    assert current_run() is None


@pytest.mark.parametrize("clips", [True, False])
def test_the_frame_loop_says_whether_it_trains(clips):
    module = nn.Identity().train(not clips)
    assert is_training(module) == (not clips)
    with begin(VideoState(training=clips)):
        assert is_training(module) == clips
