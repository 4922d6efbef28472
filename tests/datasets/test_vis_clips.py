"""VISClips: pure functions of requests, pairs, padding, sizes; on the synthetic generator's layout."""

import numpy as np
import pytest
import torch

from vosplug.datasets import ClipBatchSampler, ClipRequest, YouTubeVISDataset
from vosplug.datasets.synthetic import SyntheticOptions
from vosplug.datasets.synthetic.writer import write_dataset
from vosplug.datasets.vis_clips import clip_frames, mask_boxes
from vosplug.registry import DATASETS
from vosplug.structures import VISClipSample
from vosplug.utils.errors import ConfigError, DataError, InputError

from .trees import vis_tree, write_vis


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("synthetic") / "set"
    write_dataset(folder, videos=4, val=1, frames=7, size=(48, 80), seed=3,
                  options=SyntheticOptions(textures=24, objects=(2, 3), late=0.8))
    return folder / "youtube_vis"


def clips(root, **options):
    return DATASETS.build({"type": "VISClips", "videos": {"type": "YouTubeVISDataset", "data_root": str(root)},
                           "size": (48, 80), **options})


def same(a, b):
    return torch.equal(a["inputs"], b["inputs"]) and torch.equal(a["data_samples"].masks, b["data_samples"].masks)


def test_labels_are_those_of_the_video(root):
    data = clips(root, flip=0)
    videos = {video.name: video for video in YouTubeVISDataset(root).videos()}
    for index in range(len(data)):
        item = data[ClipRequest(index, 5, length=4, max_skip=1)]
        sample = item["data_samples"]
        video = videos[sample.video]
        tracks = {track.id: track for track in video.tracks}
        assert item["inputs"].shape == (4, 3, 48, 80) and item["inputs"].dtype == torch.uint8
        for t, frame in enumerate(sample.frame_indices):
            assert np.array_equal(item["inputs"][t].permute(1, 2, 0).numpy(), video.read_frame(frame))
            for n, number in enumerate(sample.ids):
                assert np.array_equal(sample.masks[n, t].numpy(), tracks[number].mask(frame))
                assert data.classes[sample.categories[n]] == tracks[number].category
                if sample.present[n, t]:
                    x, y, width, height = tracks[number].boxes[frame]
                    assert sample.boxes[n, t].tolist() == [x, y, x + width, y + height]


def test_a_clip_is_a_function_of_its_request(root):
    data, cached = clips(root, short_sides=(32, 48)), clips(root, short_sides=(32, 48), cache_mib=4)
    requests = [ClipRequest(k % len(data), k, length=3 + k % 2, max_skip=2) for k in range(6)]
    first = [data[r] for r in requests]
    np.random.seed(1)  # noqa: NPY002
    assert all(same(data[r], item) and same(cached[r], item) for r, item in reversed(list(zip(requests, first,
                                                                                              strict=True))))
    assert len({tuple(item["inputs"].shape[-2:]) for item in first}) == 2
    loader = torch.utils.data.DataLoader(data, batch_sampler=[[r] for r in requests], num_workers=1, collate_fn=list)
    assert all(same(batch[0], item) for batch, item in zip(loader, first, strict=True))
    assert ClipBatchSampler(data, batch_size=1, length=3, rank=0, world_size=1).requests_at(0)[0].index < len(data)


def test_mirroring_mirrors_everything(root):
    request = ClipRequest(0, 1, length=3, max_skip=1)
    plain, mirrored = clips(root, flip=0)[request], clips(root, flip=1)[request]
    assert torch.equal(plain["inputs"].flip(-1), mirrored["inputs"])
    assert torch.equal(plain["data_samples"].masks.flip(-1), mirrored["data_samples"].masks)
    a, b = plain["data_samples"], mirrored["data_samples"]
    assert torch.equal((80 - b.boxes[..., [2, 1, 0, 3]])[..., [0, 2]][a.present], a.boxes[..., [0, 2]][a.present])


def test_pairs(root):
    data, orders = clips(root, pairs=True), set()
    for seed in range(12):
        item = data[ClipRequest(0, seed, length=3, max_skip=1)]
        first, second = item["data_samples"]
        assert item["inputs"][0].shape == item["inputs"][1].shape == (3, 3, 48, 80)
        assert first.ids == second.ids and torch.equal(first.categories, second.categories)
        assert first.present.any() and not set(first.frame_indices) & set(second.frame_indices)
        orders.add(first.frame_indices < second.frame_indices)
    assert orders == {True, False}


@pytest.mark.parametrize("clips_", [1, 2])
@pytest.mark.parametrize(("count", "length", "skip"), [(50, 4, 3), (9, 4, 3), (7, 4, 1), (3, 8, 2), (1, 5, 1),
                                                         (2, 3, 1)])
def test_which_frames(count, length, skip, clips_):
    steps = set()
    for seed in range(40):
        result = clip_frames(np.random.default_rng(seed), count, length, skip, clips_)
        assert len(result) == clips_ and all(len(frames) == length for frames in result)
        flat = sum(sorted(result), [])
        assert all(0 <= t < count for t in flat)
        if clips_ * length <= count:
            assert len(set(flat)) == len(flat)
            for frames in result:
                assert len(set(np.diff(frames))) == 1 and frames[0] < frames[-1]
                steps.add(frames[1] - frames[0])
        elif count > 1:
            assert all(abs(a - b) == 1 for frames in result for a, b in zip(frames, frames[1:], strict=False))
    if count == 50:
        assert steps == {1, 2, 3}


def test_all_of_a_long_video_is_drawn():
    drawn = {t for seed in range(300) for t in sum(clip_frames(np.random.default_rng(seed), 12, 3, 1, 2), [])}
    assert drawn == set(range(12))


def test_short_videos_are_played_to_and_fro(root):
    frames = clips(root)[ClipRequest(0, 0, length=16, max_skip=1)]["data_samples"].frame_indices
    assert frames == (0, 1, 2, 3, 4, 5, 6, 5, 4, 3, 2, 1, 0, 1, 2, 3)


def test_a_limit_of_tracks(root):
    counts = [clips(root, max_tracks=1)[ClipRequest(i, 0, length=3)]["data_samples"].num_tracks for i in range(3)]
    assert set(counts) == {1}


def test_sizes_keep_the_ratio(root):
    assert clips(root, size=(24, 100))[ClipRequest(0, 0)]["inputs"].shape[-2:] == (24, 40)
    assert clips(root, size=(100, 40))[ClipRequest(0, 0)]["inputs"].shape[-2:] == (24, 40)


def test_boxes_of_masks():
    masks = torch.zeros(2, 1, 5, 7, dtype=torch.bool)
    masks[0, 0, 1:3, 4:7] = True
    boxes, present = mask_boxes(masks)
    assert boxes.tolist() == [[[4, 1, 7, 3]], [[0, 0, 0, 0]]] and present.tolist() == [[True], [False]]


def test_crowds_and_unannotated_videos_are_left_out(tmp_path):
    content = vis_tree(tmp_path)
    for annotation in content["annotations"]:
        annotation["iscrowd"] = 1
    write_vis(tmp_path, content)
    with pytest.raises(ConfigError, match="no video of YouTubeVISDataset has an annotated object"):
        clips(tmp_path)
    content["annotations"][0]["iscrowd"] = 0
    write_vis(tmp_path, content)
    assert clips(tmp_path)[ClipRequest(0, 0)]["data_samples"].ids == (1,)
    content["annotations"][0]["segmentations"] = [None, None]
    write_vis(tmp_path, content)
    with pytest.raises(DataError, match="no object was visible in a clip"):
        clips(tmp_path)[ClipRequest(0, 0)]


@pytest.mark.parametrize("options", [{"size": (0, 5)}, {"short_sides": []}, {"flip": 2}, {"max_tracks": 0},
                                     {"retries": 0}])
def test_bad_options(root, options):
    with pytest.raises(ConfigError, match="out of range"):
        clips(root, **options)


def test_out_of_range(root):
    with pytest.raises(InputError, match="out of range"):
        clips(root)[ClipRequest(99, 0)]


@pytest.mark.parametrize(("change", "message"), [
    ({"masks": torch.zeros(1, 2, 3, 4)}, "masks must be a bool tensor"), ({"ids": (1, 1)}, "different ids"),
    ({"boxes": torch.zeros(1, 2, 3)}, "boxes must be"), ({"frame_indices": (1,)}, "1 frame indices for 2 frames"),
    ({"present": torch.ones(1, 2, dtype=torch.bool)}, "present says True for track 5 in frame 0"),
])
def test_samples_check_themselves(change, message):
    fields = {"masks": torch.zeros(1, 2, 3, 4, dtype=torch.bool), "boxes": torch.zeros(1, 2, 4),
              "present": torch.zeros(1, 2, dtype=torch.bool), "categories": torch.zeros(1, dtype=torch.int64),
              "ids": (5,), "frame_indices": (0, 1)}
    assert VISClipSample(**fields).num_frames == 2
    with pytest.raises(DataError, match=message):
        VISClipSample(**{**fields, **change})


@pytest.mark.shared
def test_reference_data(shared):
    data = DATASETS.build({"type": "VISClips", "pairs": True, "videos": {
        "type": "YouTubeVISDataset", "data_root": str(shared / "data/vis_mini")}})
    for index in (0, 5):
        item = data[ClipRequest(index, 1, length=6, max_skip=1)]
        assert item["inputs"][0].shape[-2] == 360 and item["data_samples"][0].num_tracks == 1
