"""YouTubeVISDataset: layouts, the three forms of masks, lazy decoding, subsampling, faults."""

import json
import shutil

import numpy as np
import pytest

from vosplug.datasets import YouTubeVISDataset
from vosplug.registry import DATASETS
from vosplug.structures import VISVideo
from vosplug.utils.errors import ConfigError, DataError

from .trees import SIZE, vis_tree, write_vis


def test_videos_and_tracks(tmp_path):
    content = vis_tree(tmp_path)
    data = DATASETS.build({"type": "YouTubeVISDataset", "data_root": str(tmp_path)})
    (video,) = data.videos()
    assert len(data) == 1 and data.metric == "YouTubeVISMetric" and data.classes == ("person",)
    assert (video.id, video.name, video.size, len(video), video.has_reference) == (1, "v", SIZE, 2, True)
    assert video.read_frame(1).shape == (*SIZE, 3)
    runs = np.zeros(SIZE[0] * SIZE[1], bool)
    runs[10:30] = True
    runs = runs.reshape(SIZE, order="F")
    polygon, plain, packed = video.tracks
    assert np.array_equal(plain.mask(0), runs) and np.array_equal(packed.mask(0), runs)
    assert 20 < polygon.mask(0).sum() < 50 and polygon.mask(0)[2:8, 9:].sum() == 0
    assert not plain.mask(1).any() and not plain.present(1) and plain.boxes[1] is None
    assert video.read_masks(0).shape == (3, *SIZE)
    assert content["annotations"][0]["id"] == polygon.id


@pytest.mark.parametrize("place", ["train/instances.json", "annotations/train.json",
                                   "annotations/instances_train.json"])
def test_other_places_of_the_annotation_file(tmp_path, place):
    vis_tree(tmp_path)
    (tmp_path / place).parent.mkdir(exist_ok=True)
    shutil.move(tmp_path / "train.json", tmp_path / place)
    assert len(YouTubeVISDataset(tmp_path)) == 1
    assert len(YouTubeVISDataset(tmp_path, annotation_file=place)) == 1


def test_a_folder_of_the_year(tmp_path):
    vis_tree(tmp_path / "2021")
    assert len(YouTubeVISDataset(tmp_path, year=2021)) == 1
    with pytest.raises(DataError, match="annotation file not found"):
        YouTubeVISDataset(tmp_path, year=2019)


def test_no_annotations_is_no_reference(tmp_path):
    content = vis_tree(tmp_path)
    del content["annotations"]
    write_vis(tmp_path, content)
    (video,) = YouTubeVISDataset(tmp_path).videos()
    assert not video.has_reference and video.tracks == ()
    assert video.read_masks(0).shape == (0, *SIZE)


def test_lower_frame_rates(tmp_path):
    vis_tree(tmp_path)
    (video,) = YouTubeVISDataset(tmp_path, frame_stride=2).videos()
    assert len(video) == 1 and [len(t.segmentations) for t in video.tracks] == [1, 1, 1]
    assert len(video.tracks[0].boxes) == len(video.tracks[0].areas) == 1


@pytest.mark.parametrize(("options", "message"), [
    ({"split": "val"}, "Did you mean 'valid'"), ({"year": 2020}, "unknown YouTube-VIS year"),
    ({"frame_stride": 0}, "frame_stride >= 1"), ({"sequences": ["w"]}, "no sequence 'w'"),
])
def test_bad_options(tmp_path, options, message):
    vis_tree(tmp_path)
    with pytest.raises(ConfigError, match=message):
        YouTubeVISDataset(tmp_path, **options)


def test_nothing_there(tmp_path):
    with pytest.raises(DataError, match=r"folder not found.*make_synthetic"):
        YouTubeVISDataset(tmp_path / "none")
    vis_tree(tmp_path)
    with pytest.raises(DataError, match=r"valid\.json.*make_synthetic"):
        YouTubeVISDataset(tmp_path, "valid")
    shutil.rmtree(tmp_path / "train")
    with pytest.raises(DataError, match=r"pictures not found: .*v/00000\.jpg"):
        YouTubeVISDataset(tmp_path)


@pytest.mark.parametrize(("keys", "value", "message"), [
    (("annotations", 0, "category_id"), 4, "annotation 1: category_id 4"),
    (("annotations", 0, "segmentations"), [None], "one entry for each of the 2 frames"),
    (("annotations", 0, "id"), 2, "two entries of annotations have the id 2"),
    (("categories",), None, "list of categories"),
    (("categories", 0, "name"), 3, "name must be a string"),
    (("videos", 0, "width"), "x", "width must be a whole number"),
])
def test_faulty_files(tmp_path, keys, value, message):
    content = place = vis_tree(tmp_path)
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    write_vis(tmp_path, content)
    with pytest.raises(DataError, match=message):
        YouTubeVISDataset(tmp_path)


def test_damaged_masks_and_pictures_are_named_when_read(tmp_path):
    content = vis_tree(tmp_path)
    content["annotations"][1]["segmentations"][0]["counts"] = [5]
    content["videos"][0]["width"] += 1
    write_vis(tmp_path, content)
    (video,) = YouTubeVISDataset(tmp_path).videos()
    with pytest.raises(DataError, match=r"annotation 2, frame 0: bad run lengths"):
        video.tracks[1].mask(0)
    with pytest.raises(DataError, match="64 x 48, but the annotation file says 65 x 48"):
        video.read_frame(0)


def test_a_video_checks_itself(tmp_path):
    vis_tree(tmp_path)
    (video,) = YouTubeVISDataset(tmp_path).videos()
    with pytest.raises(DataError, match="track 1 has 2 segmentations for 1 frames"):
        VISVideo(1, "v", video.image_paths[:1], SIZE, video.tracks)
    with pytest.raises(DataError, match="has no frames"):
        VISVideo(1, "v", [], SIZE)


@pytest.mark.shared
def test_reference_data(shared):
    root = shared / "data/vis_mini"
    for split, count, tracks in (("train", 6, 6), ("valid", 4, 4)):
        videos = YouTubeVISDataset(root, split).videos()
        assert (len(videos), sum(len(v.tracks) for v in videos)) == (count, tracks)
        for video in videos:
            for track in video.tracks:
                content = json.loads((root / f"{split}.json").read_text())
                entry = next(a for a in content["annotations"] if a["id"] == track.id)
                for index in (0, len(video) - 1):
                    assert track.mask(index).sum() == (entry["areas"][index] or 0)
    assert len(YouTubeVISDataset(root, annotation_file="instances.json")) == 10
