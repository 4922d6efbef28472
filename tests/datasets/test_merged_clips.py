import numpy as np
import pytest
import torch

from vosplug.datasets import ClipRequest, MergedClips, MixedClips
from vosplug.registry import DATASETS
from vosplug.structures import ClipSample
from vosplug.utils.errors import ConfigError

from .trees import davis_tree

SIZE = 40


class Squares:
    """Clips of ``objects`` squares of random sides at random places; pixels of clip i are i."""

    source_ranges = ((0, 3), (3, 6))

    def __init__(self, objects=3, late=False, size=SIZE):
        self.objects, self.late, self.size = objects, late, size

    def __len__(self):
        return 6

    def __getitem__(self, request):
        rng = request.rng()
        labels = np.zeros((request.length, self.size, self.size), np.uint8)
        first = tuple(int(self.late and k == self.objects) for k in range(1, self.objects + 1))
        for number in range(1, self.objects + 1):
            y, x = rng.integers(0, self.size - 16, 2)
            side = int(rng.integers(8, 16))
            labels[first[number - 1]:, y:y + side, x:x + side] = number
        shown = tuple(k for k in range(1, self.objects + 1) if (labels[first[k - 1]] == k).any())
        table = np.zeros(256, np.uint8)
        table[list(shown)] = range(1, len(shown) + 1)
        starts = tuple(first[k - 1] for k in shown)
        sample = ClipSample(torch.from_numpy(table[labels]), starts, shown, str(request.index))
        return {"inputs": torch.full((request.length, 3, self.size, self.size), request.index, dtype=torch.uint8),
                "data_samples": sample}


def made(data, count=80, length=3):
    return [data[ClipRequest(k % 6, k, length)] for k in range(count)]


def test_never_more_than_ten_objects_nor_a_small_one_in_the_first_frame():
    numbers = []
    for clip in made(MergedClips(Squares(7), min_pixels=101)):
        sample = clip["data_samples"]
        counts = torch.bincount(sample.labels[0].flatten(), minlength=sample.num_objects + 1)[1:]
        if "+" in sample.video:
            assert (counts >= 101).all()
            numbers.append(sample.num_objects)
    assert len(numbers) > 70 and max(numbers) <= 10 and len(set(numbers)) >= 5


def test_at_most_as_many_objects_as_said():
    merged = MergedClips(Squares(6), max_objects=2, min_pixels=1)
    assert {clip["data_samples"].num_objects for clip in made(merged)} == {2}


def test_the_second_clip_lies_over_the_first():
    data = Squares(2)
    clip = MergedClips(data, max_objects=10, min_pixels=1)[ClipRequest(1, 5)]
    below = data[ClipRequest(1, 5)]["data_samples"]
    pixels, labels = clip["inputs"][:, 0], clip["data_samples"].labels
    other = pixels[pixels != 1].unique()
    if len(other):  # the second clip may be one of the same number
        assert len(other) == 1 and (labels[pixels == other] > 0).all()
        kept = (pixels == 1)
        assert ((labels > 0) == (below.labels > 0))[kept].all()
    assert clip["data_samples"].num_objects > below.num_objects


def test_how_often():
    def merged(probability):
        clips = made(MergedClips(Squares(), probability, min_pixels=1), 100)
        return sum("+" in clip["data_samples"].video for clip in clips)

    assert merged(1.0) == 100 and merged(0.0) == 0 and 15 <= merged(0.3) <= 45


def test_late_objects_stay_late():
    clips = made(MergedClips(Squares(2, late=True), min_pixels=1))
    late = [sample for sample in (clip["data_samples"] for clip in clips) if any(sample.first_frames)]
    assert len(late) > 70 and all(sample.first_frames[0] == 0 for sample in late)


def test_a_clip_is_a_function_of_its_request():
    data = MergedClips(Squares(4))
    a, b, c = (data[ClipRequest(2, seed)] for seed in (7, 7, 8))
    assert torch.equal(a["inputs"], b["inputs"]) and torch.equal(a["data_samples"].labels, b["data_samples"].labels)
    assert not torch.equal(a["data_samples"].labels, c["data_samples"].labels)


def test_sources_are_those_of_the_set(tmp_path):
    davis_tree(tmp_path)
    videos = dict(type="VideoClips", videos=dict(type="DavisDataset", data_root=str(tmp_path), split="train"))
    mixed = dict(type="MixedClips", datasets=[videos, videos], repeats=[2, 1],
                 each=dict(size=32, transforms="deaot", jump_rule="aot", max_objects=10))
    data = DATASETS.build(dict(type="MergedClips", dataset=mixed, probability=0.5, min_pixels=20))
    assert data.source_ranges == data.dataset.source_ranges == [(0, 2), (4, 6)] and len(data) == 6
    assert MergedClips(Squares()).source_ranges == ((0, 3), (3, 6))
    assert data[ClipRequest(5, 0, 4, 12)]["inputs"].shape == (4, 3, 32, 32)


@pytest.mark.parametrize("build", [lambda: MergedClips(Squares(), 1.5), lambda: MergedClips(Squares(), max_objects=0),
                                   lambda: MergedClips(Squares(), min_pixels=0),
                                   lambda: MixedClips([Squares()], each=dict(size=3))])
def test_options_out_of_range(build):
    with pytest.raises(ConfigError):
        build()


def test_clips_must_have_one_size():
    class Growing(Squares):
        def __getitem__(self, request):
            return Squares(size=SIZE + request.index)[request]

    with pytest.raises(ConfigError, match="clips of one size"):
        made(MergedClips(Growing()))
