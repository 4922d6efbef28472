"""ObjectIds."""

import dataclasses

import numpy as np
import pytest

from vosplug.structures import ObjectIds
from vosplug.utils.errors import InputError


def test_channels_follow_the_order_of_arrival():
    ids = ObjectIds().add([7]).add([3, 9])
    assert ids.ids == (7, 3, 9) and len(ids) == 3 and list(ids) == [7, 3, 9]
    assert [ids.channel(v) for v in (7, 3, 9)] == [0, 1, 2]
    assert 3 in ids and 4 not in ids


def test_changes_return_new_ids():
    first = ObjectIds((1, 2))
    second = first.remove([1])
    assert first.ids == (1, 2) and not first.retired
    assert second.ids == (2,) and second.retired == {1} and second.channel(2) == 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.ids = ()


def test_known_ids_are_kept_when_added_again():
    assert ObjectIds((4, 2)).add([2, 5, 4]).ids == (4, 2, 5)


def test_removed_ids_are_never_used_again():
    ids = ObjectIds((1, 2)).remove([1]).add([3])
    assert ids.retired == {1}
    with pytest.raises(InputError, match="object id 1 was removed earlier"):
        ids.add([4, 1])
    with pytest.raises(InputError, match="removed"):
        ids.remove([2, 3]).add([3])


def test_numbers_of_numpy_are_numbers():
    ids = ObjectIds().add(np.array([3, 4], np.uint8))
    assert ids.ids == (3, 4) and all(type(v) is int for v in ids)


@pytest.mark.parametrize("values", [[0], [-1], [65536], [2, 2], [1.5], ["1"], [None]])
def test_wrong_ids_are_input_errors(values):
    with pytest.raises(InputError):
        ObjectIds().add(values)


def test_limits_are_valid():
    assert ObjectIds().add([1, 65535]).ids == (1, 65535)


def test_unknown_ids_are_named_with_a_suggestion():
    with pytest.raises(InputError, match=r"no object with id 124; known ids: \[123, 7\] Did you mean '123'"):
        ObjectIds((123, 7)).channel(124)
    with pytest.raises(InputError, match="no object with id 5"):
        ObjectIds((1,)).remove([5])
