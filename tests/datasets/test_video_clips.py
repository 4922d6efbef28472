import itertools
import multiprocessing

import numpy as np
import pytest
import torch

from vosplug.datasets import ClipBatchSampler, ClipRequest
from vosplug.registry import DATASETS
from vosplug.utils.errors import ConfigError, DataError, InputError
from vosplug.utils.masks import write_mask

from .trees import davis_tree, youtube_tree

PLAIN = [{"type": "Resize", "size": (48, 64)}]


def clips(root, kind="DavisDataset", split="train", **options):
    videos = {"type": kind, "data_root": str(root), "split": split}
    return DATASETS.build({"type": "VideoClips", "videos": videos, **options})


def same(a, b):
    return (torch.equal(a["inputs"], b["inputs"]) and torch.equal(a["data_samples"].labels, b["data_samples"].labels)
            and vars(a["data_samples"]).keys() == vars(b["data_samples"]).keys()
            and str(a["data_samples"]) == str(b["data_samples"])
            and a["data_samples"].frame_names == b["data_samples"].frame_names)


def make_in_process(dataset, request, queue):
    item = dataset[request]
    queue.put((item["inputs"].numpy(), item["data_samples"].labels.numpy()))


@pytest.fixture
def root(tmp_path):
    return davis_tree(tmp_path)


def test_shapes_and_types(root):
    item = clips(root, size=(32, 40))[ClipRequest(1, 5, length=4, max_skip=2)]
    assert item["inputs"].shape == (4, 3, 32, 40) and item["inputs"].dtype == torch.uint8
    assert item["data_samples"].labels.shape == (4, 32, 40)
    assert item["data_samples"].video == "beta"
    assert set(item["data_samples"].ids) <= {1, 2}


def test_a_clip_is_a_function_of_its_request(root):
    data, cached = clips(root, size=32), clips(root, size=32, cache_mib=1)
    requests = [ClipRequest(k % 2, k, length=3 + k % 2) for k in range(6)]
    first = [data[r] for r in requests]
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    again = {r: data[r] for r in reversed(requests)}
    assert all(same(item, again[r]) and same(item, cached[r]) for r, item in zip(requests, first, strict=True))
    assert not same(data[ClipRequest(0, 1)], data[ClipRequest(0, 2)])


def test_another_process_makes_the_same_clip(root):
    data, request = clips(root, size=32), ClipRequest(0, 77)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    worker = context.Process(target=make_in_process, args=(data, request, queue))
    worker.start()
    inputs, labels = queue.get(timeout=60)
    worker.join()
    here = data[request]
    assert np.array_equal(inputs, here["inputs"].numpy())
    assert np.array_equal(labels, here["data_samples"].labels.numpy())


def test_workers_and_a_resumed_run_change_nothing(root):
    data = clips(root, size=32)
    sampler = ClipBatchSampler(data, batch_size=2, rank=0, world_size=1)
    sampler.set_curriculum([{"begin": 2, "length": 4}])
    expected = [[data[r] for r in sampler.requests_at(i)] for i in range(5)]
    for start, workers in ((0, 0), (0, 2), (3, 2)):
        sampler.set_iteration(start)
        loader = torch.utils.data.DataLoader(data, batch_sampler=sampler, num_workers=workers, collate_fn=list)
        batches = list(itertools.islice(loader, 5 - start))
        for batch, wanted in zip(batches, expected[start:], strict=True):
            assert all(same(a, b) for a, b in zip(batch, wanted, strict=True))


def test_a_clip_leaves_global_random_numbers_alone(root):
    data = clips(root, size=32)
    np.random.seed(3)  # noqa: NPY002
    torch.manual_seed(3)
    expected = np.random.random(), torch.rand(1)  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    torch.manual_seed(3)
    data[ClipRequest(0, 0)]
    assert (np.random.random(), torch.rand(1)) == expected  # noqa: NPY002


def test_chosen_objects_become_slots_and_the_rest_background(root):
    data = clips(root, transforms=PLAIN, max_objects=1)
    seen = set()
    for seed in range(12):
        sample = data[ClipRequest(0, seed)]["data_samples"]
        index = int(sample.frame_names[0])
        original = DATASETS.build({"type": "DavisDataset", "data_root": str(root), "split": "train"}).videos()[0]
        assert np.array_equal(sample.labels[0].numpy() == 1, original.read_labels(index) == sample.ids[0])
        seen.update(sample.ids)
    assert seen == {1, 2}


def test_void_is_kept(root):
    for index in range(6):
        labels = np.full((48, 64), 255, np.uint8)
        labels[:8] = 3
        write_mask(root / f"Annotations/480p/alpha/{index:05d}.png", labels)
    sample = clips(root, transforms=PLAIN)[ClipRequest(0, 0)]["data_samples"]
    assert sample.ids == (3,)
    assert sample.labels[0].unique().tolist() == [1, 255]


def test_merged_objects(root):
    sample = clips(root, transforms=PLAIN, merge_objects=True)[ClipRequest(0, 0)]["data_samples"]
    assert sample.ids == (1,)
    assert (sample.labels[0] == 1).sum() > 300


def late_tree(tmp_path):
    root = youtube_tree(tmp_path)
    return {"root": root, "kind": "YouTubeVOSDataset", "split": "valid", "transforms": PLAIN, "reverse": 0,
            "skip_unit": 5}


def test_late_objects(tmp_path):
    options = late_tree(tmp_path)
    with_late, without = clips(**options, late_objects=True), clips(**options)
    late = set()
    for seed in range(20):
        request = ClipRequest(1, seed, length=4, max_skip=10)
        sample = with_late[request]["data_samples"]
        for slot, (first, number) in enumerate(zip(sample.first_frames, sample.ids, strict=True), 1):
            present = [int((frame == slot).any()) for frame in sample.labels]
            assert present.index(1) == first
            late.add((number, first > 0))
        assert set(without[request]["data_samples"].first_frames) == {0}
    assert (4, True) in late
    assert (1, True) not in late


def test_time_runs_backwards_if_asked(root):
    for reverse, order in ((0.0, 1), (1.0, -1)):
        data = clips(root, transforms=PLAIN, reverse=reverse)
        for seed in range(5):
            names = [int(n) for n in data[ClipRequest(0, seed, max_skip=2)]["data_samples"].frame_names]
            assert names == sorted(names)[::order]


def test_the_reference_of_cfbi_stays_first_when_time_runs_backwards(root):
    ways = {}
    for reverse in (0.0, 1.0):
        data = clips(root, transforms=PLAIN, reverse=reverse, jump_rule="cfbi", retries=1)
        ways[reverse] = [data[ClipRequest(0, seed, length=4, max_skip=1)]["data_samples"].frame_names
                         for seed in range(20)]
    assert all(back == (ahead[0], *ahead[1:][::-1]) for ahead, back in zip(ways[0.0], ways[1.0], strict=True))
    assert len({ahead[0] for ahead in ways[0.0]}) > 3 and any(ahead[0] > ahead[1] for ahead in ways[0.0])


def test_the_skip_unit_divides_the_distance(tmp_path):
    data = clips(**{**late_tree(tmp_path), "jump_rule": "distinct"})
    for seed in range(10):
        names = [int(n) // 5 for n in data[ClipRequest(0, seed, length=3, max_skip=5)]["data_samples"].frame_names]
        assert np.diff(names).tolist() == [1, 1]


def test_another_video_replaces_one_without_objects(root):
    for index in range(6):
        write_mask(root / f"Annotations/480p/beta/{index:05d}.png", np.zeros((48, 64), np.uint8))
    write_mask(root / "Annotations/480p/beta/00000.png", np.ones((48, 64), np.uint8))
    data = clips(root, transforms=PLAIN, retries=1)
    assert {data[ClipRequest(1, seed)]["data_samples"].video for seed in range(8)} == {"alpha", "beta"}


def test_a_set_whose_objects_never_show_is_refused(root):
    data = clips(root, transforms=PLAIN, min_pixels=100000)
    with pytest.raises(DataError, match="no object was visible"):
        data[ClipRequest(0, 0)]


def test_reduced_decoding_keeps_masks_exact(root):
    full, reduced = clips(root, transforms=PLAIN), clips(root, transforms=PLAIN, decode_reduction=2)
    a, b = full[ClipRequest(0, 4)], reduced[ClipRequest(0, 4)]
    assert torch.equal(a["data_samples"].labels, b["data_samples"].labels)
    assert a["inputs"].shape == b["inputs"].shape
    difference = (a["inputs"].float() - b["inputs"].float()).abs().mean()
    assert 0 < difference < 40


def test_masks_must_have_the_size_of_their_pictures(root):
    for index in range(6):
        write_mask(root / f"Annotations/480p/alpha/{index:05d}.png", np.ones((48, 63), np.uint8))
    with pytest.raises(DataError, match="63 x 48 but its picture 64 x 48"):
        clips(root)[ClipRequest(0, 0)]


@pytest.mark.parametrize(("options", "message"), [
    ({"jump_rule": "stnc"}, "Did you mean 'stcn'"),
    ({"max_objects": 0}, "max_objects"),
    ({"reverse": 2}, "reverse"),
    ({"cache_mib": -1}, "cache_mib"),
    ({"decode_reduction": 3}, "decode_reduction"),
    ({"transforms": [{"type": "RandomFlop"}]}, "RandomFlop"),
])
def test_bad_options(root, options, message):
    with pytest.raises(ConfigError, match=message):
        clips(root, **options)


def test_transforms_must_reach_the_stated_size(root):
    with pytest.raises(ConfigError, match="size="):
        clips(root, transforms=PLAIN, size=32)[ClipRequest(0, 0)]


def test_out_of_range(root):
    with pytest.raises(InputError, match="there are 2 videos"):
        clips(root)[ClipRequest(2, 0)]


def test_masks_that_only_prompt_are_not_trained_on(tmp_path):
    with pytest.raises(ConfigError, match="complete masks"):
        clips(youtube_tree(tmp_path, reference=False), "YouTubeVOSDataset", "valid")


@pytest.mark.shared
def test_reference_data(shared):
    data = clips(shared / "data/davis_mini", split="train")
    for index in range(len(data)):
        sample = data[ClipRequest(index, 3)]["data_samples"]
        assert sample.labels.shape == (3, 384, 384) and sample.num_objects == 1


def test_the_first_frame_has_all_objects_if_asked(tmp_path):
    root = davis_tree(tmp_path, {"train": ["alpha"]}, frames=12)
    for index in range(12):  # object 2 is there in frames 0 to 5 only
        path = root / f"Annotations/480p/alpha/{index:05d}.png"
        labels = np.zeros((48, 64), np.uint8)
        labels[4:20, 4:20] = 1
        labels[26:42, 4:20] = 2 if index < 6 else 0
        write_mask(path, labels)
    options = dict(transforms=PLAIN, jump_rule="aot", max_objects=2)

    def late(**more):
        found = 0
        for seed in range(40):
            item = clips(root, **options, **more)[ClipRequest(0, seed, 3, 4)]
            names = [int(name) for name in item["data_samples"].frame_names]
            found += names[0] >= 6 and min(names[1:]) < 6
        return found

    assert late() > 3
    assert late(complete_first=True, retries=20) == 0


def test_the_first_frame_shows_enough(root):
    with pytest.raises(DataError, match="no object was visible"):
        clips(root, size=32, first_pixels=2_000)[ClipRequest(0, 1)]
    assert clips(root, size=32, first_pixels=400)[ClipRequest(0, 1)]["data_samples"].num_objects
