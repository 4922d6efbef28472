"""Prompt, StepOutput and VideoState."""

import pytest
import torch

from vosplug.models.memories import FrameBank, MemoryEntry
from vosplug.structures import ObjectIds, Prompt, StepOutput, VideoState
from vosplug.utils.errors import InputError

CPU = torch.device("cpu")


def prompt(ids, batch=1, valid=None, size=(4, 6)):
    return Prompt(ids=ids, masks=torch.zeros(batch, len(ids), *size),
                  valid=None if valid is None else torch.tensor(valid))


class TestPrompt:
    """Shapes are checked when a prompt is made."""

    def test_all_objects_start_by_default(self):
        assert prompt((1, 2), batch=2).valid.tolist() == [[True, True], [True, True]]

    @pytest.mark.parametrize("masks", [(1, 2, 4, 4), (1, 4, 4), (1, 1, 1, 4, 4)])
    def test_masks_must_fit_the_ids(self, masks):
        with pytest.raises(InputError, match=r"prompt masks must be \(B, 1, H, W\)"):
            Prompt(ids=(3,), masks=torch.zeros(masks))

    def test_valid_must_fit_the_masks(self):
        with pytest.raises(InputError, match=r"prompt.valid must be \(2, 1\)"):
            prompt((3,), batch=2, valid=[[True]])


def test_probabilities_of_an_output():
    logits = torch.tensor([0.0, 1.0, float("-inf")]).view(1, 3, 1, 1)
    prob = StepOutput(logits, ids=(1, 2)).prob.flatten()
    assert prob[2] == 0 and prob[1] / prob[0] == pytest.approx(2.718281828)


class TestVideoState:
    """Starting and ending of objects."""

    def test_new_state(self):
        state = VideoState(batch_size=3)
        assert state.active.shape == (3, 0) and state.num_objects == 0 and state.frame_index == 0

    def test_channels_are_added_and_masks_grow(self):
        state = VideoState(batch_size=2)
        state.start_objects(prompt((5,), 2, [[True], [False]]))
        state.masks = torch.full((2, 1, 4, 6), 0.5)
        state.start_objects(prompt((5, 9), 2, [[False, True], [True, True]]))
        assert state.ids.ids == (5, 9) and state.active.tolist() == [[True, True], [True, True]]
        assert state.masks.shape == (2, 2, 4, 6) and state.masks[:, 0].min() == 0.5 and state.masks[:, 1].max() == 0

    def test_an_object_starts_once(self):
        state = VideoState(batch_size=2)
        state.start_objects(prompt((5,), 2, [[True], [False]]))
        with pytest.raises(InputError, match="object id 5 is already tracked"):
            state.start_objects(prompt((6, 5), 2))
        assert state.ids.ids == (5,) and state.active.shape == (2, 1)  # a refused prompt leaves no trace

    def test_a_correction_may_name_objects_that_are_tracked_but_none_that_was_removed(self):
        state = VideoState(batch_size=2)
        state.start_objects(prompt((5, 7), 2, [[True, True], [False, True]]))
        again = prompt((5, 9), 2)
        again.correct = True
        assert state.tracked_keys(again) == {(0, 5)}
        state.start_objects(again)
        assert state.ids.ids == (5, 7, 9) and state.active.all()
        state.drop_objects([5])
        with pytest.raises(InputError, match="removed earlier"):
            state.start_objects(again)

    def test_removed_ids_are_refused(self):
        state = VideoState()
        state.start_objects(prompt((5, 6)))
        state.drop_objects([5])
        with pytest.raises(InputError, match="removed earlier"):
            state.start_objects(prompt((5,)))

    def test_an_id_twice_in_a_prompt(self):
        with pytest.raises(InputError, match="must be different"):
            VideoState().start_objects(prompt((2, 2)))

    def test_dropping_takes_channels_out_of_everything(self):
        state = VideoState(memory=FrameBank().new())
        state.start_objects(prompt((4, 5, 6)))
        state.masks = torch.arange(3.0).view(1, 3, 1, 1).expand(1, 3, 4, 6)
        value = torch.arange(3.0).view(1, 3, 1, 1).expand(1, 3, 2, 4)
        valid = torch.ones(1, 3, dtype=torch.bool)
        state.memory.add(MemoryEntry(0, {"key": torch.zeros(1, 2, 4)}, {"value": value}, valid=valid))
        state.drop_objects([5])
        assert state.ids == ObjectIds((4, 6), frozenset({5})) and state.active.shape == (1, 2)
        assert state.masks[0, :, 0, 0].tolist() == [0, 2]
        assert state.memory.kept[0]["value"][0, :, 0, 0].tolist() == [0, 2]
        state.drop_objects([6, 4])
        assert state.num_objects == 0 and state.masks.shape == (1, 0, 4, 6) and len(state.memory) == 0

    def test_dropping_what_is_not_there(self):
        state = VideoState()
        state.start_objects(prompt((4,)))
        with pytest.raises(InputError, match="no object with id 3"):
            state.drop_objects([4, 3])
        assert state.ids.ids == (4,)

    @pytest.mark.parametrize("shape", [(3, 4, 6), (2, 3, 4, 6), (1, 4, 4, 6)])
    def test_a_frame_needs_its_batch(self, shape):
        with pytest.raises(InputError, match=r"a frame must be \(B=1, 3, H, W\)"):
            VideoState().check_frame(torch.zeros(shape))

    def test_frames_have_one_size(self):
        state = VideoState()
        state.check_frame(torch.zeros(1, 3, 4, 6))
        state.check_frame(torch.zeros(1, 3, 4, 6))
        state.frame_index = 2
        with pytest.raises(InputError, match="frame 2 is 6x4 after frames of 4x6"):
            state.check_frame(torch.zeros(1, 3, 6, 4))
        assert state.frame_size == (4, 6)
