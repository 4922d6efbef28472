import numpy as np
import pytest

from vosplug.datasets.slots import choose_slots, make_sample


def frames(*rows):
    return [np.array([row], np.uint8) for row in rows]


def test_the_first_slot_is_in_the_first_frame():
    labels = frames([0, 7, 7, 255], [3, 7, 9, 9])
    for seed in range(10):
        chosen = choose_slots(labels, np.random.default_rng(seed), 2, late_objects=True)
        assert list(chosen)[0] == 7 and chosen[7] == 0
        assert list(chosen.values())[1] == 1
    assert choose_slots(labels, np.random.default_rng(0), 5, late_objects=False) == {7: 0}
    assert set(choose_slots(labels, np.random.default_rng(0), 5, late_objects=True)) == {3, 7, 9}


@pytest.mark.parametrize("row", [[0, 0], [255, 255], [0, 1]])
def test_no_object(row):
    assert choose_slots(frames(row, [5, 5]), np.random.default_rng(0), 2, late_objects=True, min_pixels=2) is None


def test_pixels_before_the_start_of_a_slot_are_background():
    labels = frames([7, 7, 3, 255], [7, 3, 3, 5])
    sample = make_sample([np.zeros((1, 4, 3), np.uint8)] * 2, labels, {7: 0, 3: 1}, "v", ("a", "b"))["data_samples"]
    assert sample.labels[:, 0].tolist() == [[1, 1, 0, 255], [1, 2, 2, 0]]
    assert (sample.ids, sample.first_frames) == ((7, 3), (0, 1))
