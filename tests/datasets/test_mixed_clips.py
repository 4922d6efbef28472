import pytest

from vosplug.datasets import ClipRequest, MixedClips
from vosplug.utils.errors import ConfigError, InputError

from .test_clip_batch_sampler import Items


def test_every_clip_as_often_as_its_set_is_repeated():
    mixed = MixedClips([Items(2), Items(3)], [5, 1])
    places = [mixed.locate(index) for index in range(len(mixed))]
    assert len(mixed) == 13
    assert all(places.count((0, k)) == 5 for k in range(2))
    assert all(places.count((1, k)) == 1 for k in range(3))
    assert mixed.source_ranges == [(0, 2), (10, 13)]


def test_requests_are_passed_on_with_the_index_in_the_set():
    mixed = MixedClips([Items(2), Items(3)])
    assert mixed[ClipRequest(4, 9, 5, 7)] == ClipRequest(2, 9, 5, 7)


@pytest.mark.parametrize(("sets", "repeats"), [([], None), ([Items(1)], [1, 2]), ([Items(1)], [0]), ([Items(0)], [1])])
def test_refusals(sets, repeats):
    with pytest.raises(ConfigError):
        MixedClips(sets, repeats)


def test_out_of_range():
    with pytest.raises(InputError):
        MixedClips([Items(2)]).locate(2)
