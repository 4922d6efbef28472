import numpy as np
import pytest
import torch
from PIL import Image

from vosplug.datasets import ClipRequest
from vosplug.registry import DATASETS
from vosplug.utils.errors import ConfigError, DataError
from vosplug.utils.masks import read_mask

from .trees import frame, put_image

FILES = {
    "DUTS": ("DUTS-TR-Image/{}.jpg", "DUTS-TR-Mask/{}.png"),
    "ECSSD": ("images/{}.jpg", "ground_truth_mask/{}.png"),
    "FSS-1000": ("cat/{}.jpg", "cat/{}.png"),
    "HKU-IS": ("imgs/{}.png", "gt/{}.png"),
    "HRSOD": ("HRSOD_train/{}.jpg", "HRSOD_train_mask/{}.png"),
    "BIG": ("{}_im.jpg", "{}_gt.png"),
    "folders": ("images/{}.jpg", "masks/{}.png"),
    "flat": ("{}.jpg", "{}.png"),
}


def tree(root, layout, count=3, mode="L"):
    for k in range(count):
        image, labels = frame(k)
        put_image(root / FILES[layout][0].format(f"a{k}"), image)
        path = root / FILES[layout][1].format(f"a{k}")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(labels * 255).convert(mode).save(path)
    return root


def static(root, layout="flat", **options):
    return DATASETS.build({"type": "StaticImageClips", "data_root": str(root), "layout": layout, **options})


@pytest.mark.parametrize("layout", FILES)
def test_layouts(tmp_path, layout):
    data = static(tree(tmp_path, layout), layout, size=40)
    item = data[ClipRequest(2, 1, length=4)]
    assert len(data) == 3
    assert item["inputs"].shape == (4, 3, 40, 40) and item["inputs"].dtype == torch.uint8
    sample = item["data_samples"]
    assert sample.ids == (1,) and sample.first_frames == (0,)
    assert "a2" in sample.video


def test_flat_pairs_stand_for_any_layout(tmp_path):
    assert len(static(tree(tmp_path, "flat"), "DUTS")) == 3


def test_ids_are_objects(tmp_path):
    """Three objects, of which one is small; 255 stays void."""
    labels = np.zeros((60, 80), np.uint8)
    labels[5:30, 5:30], labels[5:30, 45:75], labels[40:42, 40:42], labels[50:, :] = 3, 9, 4, 255
    put_image(tmp_path / "images" / "a.jpg", np.full((60, 80, 3), 90, np.uint8))
    (tmp_path / "masks").mkdir()
    picture = Image.fromarray(labels)
    picture.putpalette([0, 0, 0, *[v for v in range(255) for _ in range(3)]])
    picture.save(tmp_path / "masks" / "a.png")
    options = dict(transforms=[], ids=True)
    data = static(tmp_path, "folders", max_objects=3, min_pixels=20, **options)
    samples = [data[ClipRequest(0, seed, length=2)]["data_samples"] for seed in range(8)]
    assert {frozenset(sample.ids) for sample in samples} == {frozenset((3, 9))}
    assert all(set(np.unique(sample.labels)) == {0, 1, 2, 255} for sample in samples)
    one = static(tmp_path, "folders", **options)
    assert {one[ClipRequest(0, seed, length=2)]["data_samples"].ids for seed in range(20)} == {(3,), (4,), (9,)}


def test_views_differ_and_requests_repeat(tmp_path):
    data = static(tree(tmp_path, "flat"), size=40, cache_mib=1)
    item, again = data[ClipRequest(0, 1)], data[ClipRequest(0, 1)]
    assert torch.equal(item["inputs"], again["inputs"])
    assert not torch.equal(item["inputs"][0], item["inputs"][1])


def test_large_images_are_shrunk_once(tmp_path):
    big = np.zeros((300, 400, 3), np.uint8)
    put_image(tmp_path / "x.jpg", big)
    Image.fromarray(np.full((300, 400), 255, np.uint8)).save(tmp_path / "x.png")
    data = static(tmp_path, transforms=[], max_side=75)
    assert data[ClipRequest(0, 0)]["inputs"].shape == (3, 3, 75, 100)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "1", "P"])
def test_masks_of_many_kinds(tmp_path, mode):
    root = tree(tmp_path, "flat", count=1, mode=mode)
    assert np.array_equal(read_mask(root / "a0.png", binary=True), frame(0)[1])


def test_coloured_masks_are_refused(tmp_path):
    image = np.zeros((4, 4, 3), np.uint8)
    image[0] = (255, 0, 0)
    Image.fromarray(image).save(tmp_path / "m.png")
    with pytest.raises(DataError, match="coloured"):
        read_mask(tmp_path / "m.png", binary=True)


def test_missing_masks_are_named(tmp_path):
    root = tree(tmp_path, "flat")
    (root / "a1.png").unlink()
    with pytest.raises(DataError, match="1 of 3 images have no mask.*a1.jpg"):
        static(root)


def test_empty_masks_are_passed_over_and_refused_if_there_is_nothing_else(tmp_path):
    root = tree(tmp_path, "flat", count=1)
    Image.fromarray(np.zeros((48, 64), np.uint8)).save(root / "a0.png")
    with pytest.raises(DataError, match="no object was visible"):
        static(root, size=32)[ClipRequest(0, 0)]


def test_bad_options(tmp_path):
    with pytest.raises(ConfigError, match="Did you mean 'DUTS'"):
        static(tmp_path, "DUST")
    with pytest.raises(DataError, match="no images"):
        static(tmp_path, "ECSSD")
    with pytest.raises(ConfigError, match="retries"):
        static(tree(tmp_path, "flat"), retries=0)
