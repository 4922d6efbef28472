"""Synthetic training clips of video instance segmentation."""

import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from vosplug.datasets.sampling import ClipRequest, draw_seed
from vosplug.datasets.synthetic import CLASS_NAMES, SyntheticVISClips
from vosplug.registry import DATASETS
from vosplug.structures import VISClipSample
from vosplug.utils.errors import ConfigError

SMALL = dict(size=(48, 64), pool=3, frames=8, options=dict(textures=24, objects=(2, 3)))


def request(number: int, length: int = 3, max_skip: int = 2) -> ClipRequest:
    return ClipRequest(index=number, seed=draw_seed(1, number), length=length, max_skip=max_skip)


def samples_of(item: dict) -> list[VISClipSample]:
    found = item["data_samples"]
    return found if isinstance(found, list) else [found]


def same(a: dict, b: dict) -> bool:
    pictures = zip(a["inputs"], b["inputs"], strict=True)
    samples = zip(samples_of(a), samples_of(b), strict=True)
    return all(torch.equal(x, y) for x, y in pictures) and all(
        torch.equal(x.masks, y.masks) and torch.equal(x.boxes, y.boxes) and torch.equal(x.categories, y.categories)
        and (x.ids, x.frame_indices, x.video) == (y.ids, y.frame_indices, y.video) for x, y in samples)


class Requests(Dataset):
    """A data set asked by position, to send requests through worker processes."""

    def __init__(self, clips: SyntheticVISClips, requests: list[ClipRequest]):
        self.clips, self.requests = clips, requests

    def __len__(self):
        return len(self.requests)

    def __getitem__(self, index):
        return self.clips[self.requests[index]]


@pytest.mark.parametrize("pairs", [False, True])
def test_items_have_the_form_of_vis_clips(pairs):
    clips = DATASETS.build(dict(type="SyntheticVISClips", length=5, pairs=pairs, **SMALL))
    assert len(clips) == 5 and clips.classes == CLASS_NAMES
    for number in range(8):
        item = clips[request(number)]
        inputs, samples = (item["inputs"], item["data_samples"]) if pairs else ([item["inputs"]], samples_of(item))
        assert len(inputs) == len(samples) == 1 + pairs
        for clip, sample in zip(inputs, samples, strict=True):
            assert clip.shape == (3, 3, 48, 64) and clip.dtype == torch.uint8
            assert isinstance(sample, VISClipSample) and sample.masks.shape[1:] == (3, 48, 64)
            assert 0 <= int(sample.categories.min()) <= int(sample.categories.max()) < len(CLASS_NAMES)
        assert samples[0].present.any()
        assert {s.ids for s in samples} == {samples[0].ids}
        assert torch.equal(samples[0].categories, samples[-1].categories)
        assert not set(samples[0].frame_indices) & set(samples[-1].frame_indices) or not pairs


def test_labels_belong_to_the_pictures():
    """Without motion, colour and noise, an object's pixels are the same in all frames of both clips."""
    still = dict(motion=0.0, camera=0.0, deform=0.0, noise=0.0, photometric=0.0, blur=0.0, objects=(1, 1), textures=24)
    clips = SyntheticVISClips(size=(48, 64), pairs=True, replay=0.5, pool=2, frames=8, options=still)
    for number in range(4):
        item = clips[request(number)]
        first = item["inputs"][0][0]
        for clip, sample in zip(item["inputs"], item["data_samples"], strict=True):
            assert sample.masks.shape[0] == 1 and bool(sample.present.all())
            assert all(torch.equal(frame, first) for frame in clip)
            assert all(torch.equal(mask, sample.masks[0, 0]) for mask in sample.masks[0])
        inside = first[:, item["data_samples"][0].masks[0, 0]].float()
        outside = first[:, ~item["data_samples"][0].masks[0, 0]].float()
        assert float((inside.mean(1) - outside.mean(1)).abs().max()) > 1


def test_classes_are_those_of_the_options():
    clips = SyntheticVISClips(size=(48, 64), pool=3, frames=4,
                              options=dict(textures=24, classes=("ring", "star"), objects=(2, 2)))
    found = {int(c) for n in range(10) for c in clips[request(n, length=2)]["data_samples"].categories}
    assert found == {CLASS_NAMES.index("ring"), CLASS_NAMES.index("star")}


def test_nothing_that_looks_like_an_object_is_left_without_a_label_unless_asked_for():
    assert SyntheticVISClips().options.distractors == (0, 0) and SyntheticVISClips().options.occluder == 0
    asked = SyntheticVISClips(options=dict(distractors=(1, 2), occluder=0.5)).options
    assert asked.distractors == (1, 2) and asked.occluder == 0.5


@pytest.mark.parametrize("replay", [0.0, 0.5, 1.0])
def test_an_item_is_a_pure_function_of_its_request(replay):
    """Whatever was asked before, however small the cache, and after pickling."""
    requests = [request(n) for n in range(6)]
    clips = SyntheticVISClips(replay=replay, pairs=True, **SMALL)
    first = [clips[r] for r in requests]
    again = [clips[r] for r in reversed(requests)][::-1]
    fresh = SyntheticVISClips(replay=replay, pairs=True, cache_mib=0, **SMALL)
    moved = pickle.loads(pickle.dumps(clips))
    for r, a, b in zip(requests, first, again, strict=True):
        assert same(a, b) and same(a, fresh[r])
    assert same(first[3], moved[requests[3]])


def test_workers_do_not_change_an_item():
    requests = [request(n) for n in range(6)]
    clips = SyntheticVISClips(**SMALL)
    direct = [clips[r] for r in requests]
    loader = DataLoader(Requests(SyntheticVISClips(**SMALL), requests), batch_size=None, num_workers=1)
    assert all(same(a, b) for a, b in zip(direct, loader, strict=True))


def test_items_of_the_pool_vary():
    clips = SyntheticVISClips(size=(48, 64), pool=1, replay=1.0, frames=8, options=dict(textures=24))
    made = [clips[request(n)] for n in range(8)]
    assert {item["data_samples"].video for item in made} == {"synthetic-pool-0"}
    assert len({item["inputs"].numpy().tobytes() for item in made}) == 8
    assert len({item["data_samples"].masks.numpy().tobytes() for item in made}) > 3


def test_a_clip_longer_than_the_video_is_played_to_and_fro():
    clips = SyntheticVISClips(size=(48, 64), pool=2, frames=3, replay=1.0, options=dict(textures=24))
    item = clips[request(0, length=5, max_skip=1)]
    places = item["data_samples"].frame_indices
    assert len(places) == 5 and np.abs(np.diff(places)).tolist() == [1, 1, 1, 1]
    assert torch.equal(item["inputs"][1], item["inputs"][3])


@pytest.mark.parametrize("change", [dict(size=(16, 64)), dict(size=64.0), dict(length=0), dict(frames=0), dict(pool=0),
                                    dict(replay=1.5), dict(cache_mib=-1), dict(options=dict(moton=1))])
def test_wrong_arguments_are_refused(change):
    with pytest.raises(ConfigError):
        SyntheticVISClips(**change)
