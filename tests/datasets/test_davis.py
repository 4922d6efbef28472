import numpy as np
import pytest
from PIL import Image

from vosplug.datasets.checks import check_davis
from vosplug.registry import DATASETS
from vosplug.utils.errors import ConfigError, DataError
from vosplug.utils.masks import write_mask

from .trees import davis_tree


@pytest.fixture
def root(tmp_path):
    return davis_tree(tmp_path)


def davis(root, **options):
    return DATASETS.build({"type": "DavisDataset", "data_root": str(root), **options})


def test_2017(root):
    data = davis(root)
    (video,) = data.videos()
    assert (data.metric, len(data)) == ("DavisMetric", 1)
    assert (video.name, len(video), video.prompts, video.first_frames) == ("gamma", 6, {0: (1, 2)}, {1: 0, 2: 0})
    assert video.has_reference and video.output_frames is None
    assert video.ids_in(5) == [1, 2]


def test_2016_without_its_own_masks_takes_all_ids_as_one(root):
    davis_tree(root, year="2016")
    (video,) = davis(root, year=2016).videos()
    assert video.prompt_ids() == [1]
    assert video.ids_in(3) == [1]


def test_2016_reads_binary_masks(root):
    davis_tree(root, year="2016")
    for index in range(6):
        (root / "Annotations_2016/480p/gamma").mkdir(parents=True, exist_ok=True)
        labels = np.zeros((48, 64), np.uint8)
        labels[:10] = 255
        Image.fromarray(labels).save(root / f"Annotations_2016/480p/gamma/{index:05d}.png")
    (video,) = davis(root, year="2016").videos()
    assert (video.read_labels(0) == 1).sum() == 640
    assert 255 not in video.read_labels(0)


def test_trainval_joins_the_lists(root):
    assert davis(root, split="trainval").names == ["alpha", "beta", "gamma"]


def test_test_dev_has_prompts_only(tmp_path):
    (video,) = davis(davis_tree(tmp_path, {"test-dev": ["delta"]}), split="test-dev").videos()
    assert not video.has_reference
    assert list(video.mask_paths[1:]) == [None] * 5
    assert video.prompts == {0: (1, 2)}


def test_sequences_are_limited_in_the_order_of_the_list(root):
    assert davis(root, split="train", sequences=["beta"]).names == ["beta"]
    with pytest.raises(ConfigError, match="Did you mean 'alpha'"):
        davis(root, split="train", sequences=["alpa"])
    with pytest.raises(ConfigError, match="selects nothing"):
        davis(root, sequences=[])


@pytest.mark.parametrize(("options", "message"), [
    ({"split": "vall"}, "Did you mean 'val'"),
    ({"year": 2018}, "unknown DAVIS year"),
    ({"year": 2016, "split": "test-dev"}, "unknown DAVIS 2016 split"),
])
def test_bad_options(root, options, message):
    with pytest.raises(ConfigError, match=message):
        davis(root, **options)


@pytest.mark.parametrize(("options", "message"), [
    ({"resolution": "480"}, "Did you mean '480p'"),
    ({"split": "test-dev"}, "list not found.*Lists there: train, val"),
    ({"year": 2016}, "folder not found.*2016"),
])
def test_missing_parts_name_the_layout(root, options, message):
    with pytest.raises(DataError, match=message) as caught:
        davis(root, **options)
    assert "Expected layout" in str(caught.value)


def test_a_missing_mask_is_named(root):
    (root / "Annotations/480p/gamma/00003.png").unlink()
    with pytest.raises(DataError, match="frame 00003 has no mask"):
        davis(root).videos()


def test_an_empty_first_mask_is_named(root):
    write_mask(root / "Annotations/480p/gamma/00000.png", np.zeros((48, 64), np.uint8))
    with pytest.raises(DataError, match="no object"):
        davis(root).videos()


def test_the_first_release_of_2016(tmp_path):
    root = davis_tree(tmp_path, {"train": ["alpha"]}, year="480p")
    for index in range(6):
        labels = np.zeros((48, 64), np.uint8)
        labels[:10] = 255
        Image.fromarray(labels).save(root / f"Annotations/480p/alpha/{index:05d}.png")
    lines = [f"/JPEGImages/480p/alpha/{k:05d}.jpg /Annotations/480p/alpha/{k:05d}.png" for k in range(6)]
    (root / "ImageSets/480p/train.txt").write_text("\n".join(lines))
    (video,) = davis(root, year=2016, split="train").videos()
    assert (video.name, video.ids_in(0)) == ("alpha", [1])
    assert [fault for job in check_davis(root) for fault in job.run().faults] == []
    (root / "ImageSets/480p").rename(root / "ImageSets/2017")
    (root / "ImageSets/2017/train.txt").write_text("alpha")
    assert "mask of DAVIS 2016" in [fault for job in check_davis(root) for fault in job.run().faults][0]


@pytest.mark.shared
def test_reference_data(shared):
    for year in (2016, 2017):
        data = davis(shared / "data/davis_mini", year=year, split="trainval")
        assert [len(v) for v in data.videos()] == [50, 40, 90, 60, 50, 84, 50, 49]
        for video in data.videos():
            assert video.ids_in(len(video) - 1) == [1]
    both = [davis(shared / "data/davis_mini", year=year).videos()[2] for year in (2016, 2017)]
    assert np.array_equal(both[0].read_labels(20), both[1].read_labels(20))
