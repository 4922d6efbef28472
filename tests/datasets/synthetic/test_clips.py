"""Synthetic training clips."""

import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from vosplug.datasets.sampling import ClipRequest, draw_seed
from vosplug.datasets.synthetic.clips import SyntheticClips, to_slots
from vosplug.registry import DATASETS
from vosplug.structures.clip import ClipSample
from vosplug.utils.errors import ConfigError

SMALL = dict(size=(64, 64), pool=4, options=dict(textures=24))


def request(number: int, length: int = 3, max_skip: int = 5) -> ClipRequest:
    return ClipRequest(index=number, seed=draw_seed(1, number), length=length, max_skip=max_skip)


def same(a: dict, b: dict) -> bool:
    one, two = a["data_samples"], b["data_samples"]
    return (torch.equal(a["inputs"], b["inputs"]) and torch.equal(one.labels, two.labels)
            and (one.first_frames, one.ids, one.video) == (two.first_frames, two.ids, two.video))


class Requests(Dataset):
    """A data set asked by position, to send requests through worker processes."""

    def __init__(self, clips: SyntheticClips, requests: list[ClipRequest]):
        self.clips, self.requests = clips, requests

    def __len__(self):
        return len(self.requests)

    def __getitem__(self, index):
        return self.clips[self.requests[index]]


def test_it_is_registered_and_has_the_form_of_all_clip_data_sets():
    clips = DATASETS.build(dict(type="SyntheticClips", size=(64, 96), length=7))
    assert len(clips) == 7
    for number in range(6):
        clip = clips[request(number, length=4)]
        assert clip["inputs"].shape == (4, 3, 64, 96) and clip["inputs"].dtype == torch.uint8
        sample = clip["data_samples"]
        assert isinstance(sample, ClipSample)
        assert 1 <= sample.num_objects <= 3 and sample.first_frames[0] == 0
        assert len(sample.frame_names) == 4


@pytest.mark.parametrize("replay", [0.0, 0.5, 1.0])
def test_a_clip_is_a_pure_function_of_its_request(replay):
    """Whatever was asked before, however small the cache, and after pickling."""
    requests = [request(n) for n in range(10)]
    clips = SyntheticClips(replay=replay, **SMALL)
    first = [clips[r] for r in requests]
    again = [clips[r] for r in reversed(requests)][::-1]
    fresh = SyntheticClips(replay=replay, cache_mib=0, **SMALL)
    uncached = [fresh[r] for r in requests]
    moved = pickle.loads(pickle.dumps(clips))
    for a, b, c in zip(first, again, uncached, strict=True):
        assert same(a, b) and same(a, c)
    assert same(first[3], moved[requests[3]])


def test_workers_do_not_change_a_clip():
    requests = [request(n) for n in range(8)]
    clips = SyntheticClips(**SMALL)
    direct = [clips[r] for r in requests]
    loader = DataLoader(Requests(SyntheticClips(**SMALL), requests), batch_size=None, num_workers=2)
    assert all(same(a, b) for a, b in zip(direct, loader, strict=True))


def test_replayed_clips_vary():
    clips = SyntheticClips(size=(64, 64), pool=1, replay=1.0, options=dict(textures=24))
    made = [clips[request(n)] for n in range(8)]
    assert {clip["data_samples"].video for clip in made} == {"synthetic-pool-0"}
    assert len({clip["inputs"].numpy().tobytes() for clip in made}) == 8
    assert len({clip["data_samples"].labels.numpy().tobytes() for clip in made}) > 2


def test_share_of_replayed_clips():
    clips = SyntheticClips(size=(32, 32), pool=2, replay=0.5, options=dict(textures=8, objects=(1, 1)))
    pooled = sum("pool" in clips[request(n, length=1)]["data_samples"].video for n in range(60))
    assert 15 <= pooled <= 45


def test_some_objects_are_late():
    clips = SyntheticClips(size=(64, 64), options=dict(late=0.8, objects=(3, 3), textures=24))
    firsts = [first for n in range(12) for first in clips[request(n, length=5)]["data_samples"].first_frames]
    assert max(firsts) > 0 and firsts.count(0) >= 12


def test_max_objects_limits_the_slots():
    clips = SyntheticClips(size=(64, 64), max_objects=1, options=dict(objects=(3, 3), textures=24))
    for n in range(6):
        sample = clips[request(n)]["data_samples"]
        assert sample.num_objects == 1 and sample.first_frames == (0,)


def test_larger_skips_move_more():
    clips = SyntheticClips(replay=0, options=dict(objects=(1, 1), leave=0, occluder=0, distractors=(0, 0), textures=24))

    def overlap(max_skip):
        values = []
        for n in range(10):
            a, b = clips[request(n, 2, max_skip)]["data_samples"].labels.numpy() == 1
            values.append((a & b).sum() / (a | b).sum())
        return np.mean(values)

    assert overlap(20) < overlap(1)


def test_slots_follow_entry_and_small_pieces_become_void():
    labels = np.zeros((3, 10, 10), np.uint8)
    labels[:, :4, :4] = 7          # from the start
    labels[0, 9, 9] = 3            # too small to enter in frame 0
    labels[1:, 5:8, 5:8] = 3
    labels[2, 0, 9] = 9            # never large enough
    slots, first_frames, ids = to_slots(labels, 5, 3, np.random.default_rng(0))
    assert first_frames == (0, 1) and ids == (7, 3)
    assert slots[0, 9, 9] == 255 and slots[2, 0, 9] == 255
    assert (slots[:, :4, :4] == 1).all() and (slots[1:, 5:8, 5:8] == 2).all()
    one, first_frames, ids = to_slots(labels, 5, 1, np.random.default_rng(0))
    assert ids == (7,) and first_frames == (0,) and not (one[1:, 5:8, 5:8]).any()


@pytest.mark.parametrize("change", [dict(size=(16, 64)), dict(size=64.0), dict(length=0), dict(max_objects=0),
                                    dict(pool=0), dict(replay=1.5), dict(cache_mib=-1), dict(options=dict(moton=1))])
def test_wrong_arguments_are_refused(change):
    with pytest.raises(ConfigError):
        SyntheticClips(**change)
