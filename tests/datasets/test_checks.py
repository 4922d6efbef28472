"""Every kind of fault that check_data names."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vosplug.datasets.checks import CHECKS
from vosplug.utils.masks import write_mask
from vosplug.utils.rle import decompress, segmentation_fault

from .trees import SIZE, compress, davis_tree, folder_tree, vis_tree, write_vis, youtube_tree


def faults(kind, root, **options):
    return [fault for job in CHECKS[kind](root, **options) for fault in job.run().faults]


def one(kind, root, *words):
    """The only fault of the tree has all ``words``."""
    found = faults(kind, root)
    assert len(found) == 1, found
    assert all(word in found[0] for word in words), found[0]
    assert "\n" not in found[0]


def rgb(path):
    Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(path)


def smoothed(path):
    Image.fromarray(np.arange(SIZE[0] * SIZE[1], dtype=np.int64).reshape(SIZE).astype(np.uint8)).save(path)


def cut(path):
    path.write_bytes(path.read_bytes()[:-60])


def empty(path):
    write_mask(path, np.zeros(SIZE, np.uint8))


def narrow(path):
    write_mask(path, np.ones((SIZE[0], SIZE[1] - 1), np.uint8))


def stranger(path):
    write_mask(path, np.full(SIZE, 9, np.uint8))


def remove(path):
    path.unlink()


def text(path):
    path.write_text("no picture")


DAVIS_IMAGE, DAVIS_MASK = "JPEGImages/480p/gamma/00003.jpg", "Annotations/480p/gamma/00003.png"


def test_clean_davis(tmp_path):
    davis_tree(tmp_path)
    davis_tree(tmp_path, {"test-dev": ["delta"]})
    assert faults("davis", tmp_path) == []


@pytest.mark.parametrize(("path", "damage", "words"), [
    (DAVIS_IMAGE, cut, ["cut short"]),
    (DAVIS_IMAGE, text, ["not a readable image"]),
    (DAVIS_IMAGE, remove, ["mask without a frame"]),
    (DAVIS_MASK, remove, ["missing: frame 00003.jpg has no mask"]),
    (DAVIS_MASK, cut, ["not a readable image"]),
    (DAVIS_MASK, rgb, ["RGB"]),
    (DAVIS_MASK, smoothed, ["smoothed"]),
    (DAVIS_MASK, narrow, ["63 x 48 but its image 64 x 48"]),
    (DAVIS_MASK, stranger, ["object id 9, which the first mask"]),
    ("Annotations/480p/gamma/00000.png", empty, ["no object"]),
])
def test_davis_faults(tmp_path, path, damage, words):
    damage(davis_tree(tmp_path) / path)
    one("davis", tmp_path, path.rsplit("/", 1)[1][:5], *words)


def test_davis_lists(tmp_path):
    root = davis_tree(tmp_path)
    (root / "ImageSets/2017/val.txt").write_text("gamma\ngamma\nomega\n")
    (root / "ImageSets/2017/vall.txt").write_text("\n")
    found = "\n".join(faults("davis", root))
    for words in ("lists gamma twice", "JPEGImages/480p/omega: folder not found",
                  "Annotations/480p/omega: folder not found", "Did you mean 'val'", "lists no sequence"):
        assert words in found
    assert faults("davis", root, split="train") == []
    assert "has no list" in faults("davis", root, split="test-dev")[0]
    assert "folder not found" in "\n".join(faults("davis", root, resolution="1080p"))


def test_davis_2016_masks_are_binary(tmp_path):
    root = davis_tree(tmp_path, {"val": ["gamma"]}, ids=(1,))
    folder = root / "Annotations_2016/480p/gamma"
    folder.mkdir(parents=True)
    for index in range(6):
        labels = np.zeros(SIZE, np.uint8)
        labels[:9] = 255 if index != 4 else 100
        Image.fromarray(labels).save(folder / f"{index:05d}.png")
    one("davis", root, "00004.png", "0 and 255 only, found 100")


def test_a_davis_tree_without_its_folders(tmp_path):
    found = faults("davis", tmp_path)
    assert len(found) == 4 and "expected layout" in found[-1]


def test_clean_youtube_vos(tmp_path):
    assert faults("youtube_vos", youtube_tree(tmp_path)) == []


@pytest.mark.parametrize(("path", "damage", "words"), [
    ("train/JPEGImages/t1/00010.jpg", cut, ["cut short"]),
    ("train/Annotations/t1/00010.png", remove, ["has no mask"]),
    ("train/Annotations/t1/00010.png", stranger, ["object id 9, which meta.json lacks"]),
    ("valid/Annotations/v2/00010.png", remove, ["missing: object 4 starts"]),
    ("valid/Annotations/v2/00010.png", empty, ["object 4 starts in this frame, but"]),
    ("valid/Annotations/v2/00010.png", narrow, ["63 x 48"]),
    ("valid_reference/Annotations/v1/00010.png", remove, ["this frame is scored"]),
    ("valid_all_frames/JPEGImages/v1/00010.jpg", remove, ["meta.json lists this frame"]),
    ("valid_all_frames/JPEGImages/v1/00011.jpg", cut, ["cut short"]),
])
def test_youtube_vos_faults(tmp_path, path, damage, words):
    damage(youtube_tree(tmp_path) / path)
    found = [fault for fault in faults("youtube_vos", tmp_path) if path in fault]
    assert any(all(word in fault for word in words) for fault in found), faults("youtube_vos", tmp_path)


def test_youtube_vos_meta(tmp_path):
    root = youtube_tree(tmp_path)
    path = root / "valid/meta.json"
    content = json.loads(path.read_text())
    content["videos"]["v1"]["objects"]["1"]["frames"].append(30)
    content["videos"]["v2"]["objects"]["x"] = {"category": 5, "frames": "00000"}
    content["videos"]["v3"] = {"objects": {"1": {"category": "dog", "frames": ["00000"]}}}
    path.write_text(json.dumps(content))
    (root / "valid/JPEGImages/v9").mkdir()
    (root / "seen_unseen.json").write_text("[]")
    found = "\n".join(faults("youtube_vos", root, split="valid"))
    for words in ("video v1, object 1: frames must be names", "video v2, object x: the id must be",
                  "category must be a string", "got '00000'", "JPEGImages/v3: folder not found",
                  "JPEGImages/v9: video that meta.json lacks", "seen_unseen.json"):
        assert words in found
    path.write_text("{")
    assert "not valid JSON" in "\n".join(faults("youtube_vos", root, split="valid"))
    assert "Did you mean 'valid'" in faults("youtube_vos", root, split="valide")[0]


def test_folder_faults(tmp_path):
    root = folder_tree(tmp_path)
    assert faults("folder", root) == []
    narrow(root / "one/masks/00002.png")
    one("folder", root, "one/masks/00002.png", "63 x 48")
    write_mask(root / "one/masks/00009.png", np.ones(SIZE, np.uint8))
    remove(root / "two/mask.png")
    found = "\n".join(faults("folder", root))
    assert "00009.png: mask without a frame" in found and "two: has no mask" in found


def test_static_faults(tmp_path):
    for name, folder in (("a", "images"), ("b", "images"), ("c", "images")):
        path = tmp_path / folder / f"{name}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(path)
    masks = tmp_path / "ground_truth_mask"
    masks.mkdir()
    for name in "abc":
        Image.fromarray(np.full(SIZE, 255, np.uint8)).save(masks / f"{name}.png")
    assert faults("static", tmp_path) == []
    empty(masks / "a.png")
    remove(masks / "b.png")
    narrow(masks / "c.png")
    found = faults("static", tmp_path)
    assert len(found) == 3
    assert any("b.jpg: image without a mask" in fault for fault in found)
    assert any("a.png: the mask is empty" in fault for fault in found)
    assert any("63 x 48" in fault for fault in found)
    assert "no images found" in faults("static", tmp_path, layout="BIG")[0]


def test_clean_youtube_vis(tmp_path):
    vis_tree(tmp_path)
    assert faults("youtube_vis", tmp_path) == []


@pytest.mark.parametrize(("keys", "value", "words"), [
    (("videos", 0, "length"), 3, ["length is 3"]),
    (("videos", 0, "height"), "48", ["height and width"]),
    (("videos", 0, "width"), 65, ["says 65 x 48"]),
    (("videos", 0, "file_names"), ["v/00000.jpg", 7], ["file_names"]),
    (("videos", 0, "file_names", 1), "v/00007.jpg", ["not found"]),
    (("annotations", 0, "video_id"), 4, ["video_id 4"]),
    (("annotations", 0, "category_id"), "1", ["category_id '1'"]),
    (("annotations", 0, "id"), 2, ["two annotation entries have the id 2"]),
    (("annotations", 0, "areas"), [20], ["areas must be a list", "1 entries"]),
    (("annotations", 0, "areas", 0), "20", ["an area must be a number"]),
    (("annotations", 0, "bboxes", 0), [1, 2, 3], ["a bbox must be"]),
    (("annotations", 0, "bboxes", 0), None, ["null together"]),
    (("annotations", 0, "segmentations", 0), [[1, 2, 3, 4]], ["three points"]),
    (("annotations", 1, "segmentations", 0, "counts"), [10, 20], ["cover 30 pixels"]),
    (("annotations", 1, "segmentations", 0, "counts"), [10, -20], ["at least 0"]),
    (("annotations", 2, "segmentations", 0, "counts"), "abc~~", ["cut short or has characters"]),
    (("annotations", 2, "segmentations", 0, "size"), [64, 48], ["size is [64, 48]"]),
    (("annotations", 2, "segmentations"), [None, None], ["no segmentation"]),
    (("categories", 0, "name"), 3, ["name must be a string"]),
])
def test_youtube_vis_faults(tmp_path, keys, value, words):
    content = vis_tree(tmp_path)
    place = content
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    write_vis(tmp_path, content)
    found = faults("youtube_vis", tmp_path)
    assert any(all(word in fault for word in words) for fault in found), found


def test_youtube_vis_without_annotations_or_files(tmp_path):
    content = vis_tree(tmp_path)
    del content["annotations"]
    write_vis(tmp_path, content)
    assert faults("youtube_vis", tmp_path) == []
    assert "Did you mean 'train'" in faults("youtube_vis", tmp_path, split="trian")[0]
    (tmp_path / "train.json").write_text("[]")
    one("youtube_vis", tmp_path, "'videos'")


@given(st.lists(st.integers(1, 400), min_size=3, max_size=3))
def test_run_lengths_are_read_as_pycocotools_writes_them(runs):
    runs = [*runs[:2], SIZE[0] * SIZE[1] - sum(runs[:2])]
    assert decompress(compress(runs)) == runs


@given(st.text(max_size=12))
def test_no_text_breaks_the_reader(text_):
    segmentation_fault({"size": [4, 4], "counts": text_}, (4, 4))


@pytest.mark.shared
@pytest.mark.parametrize(("kind", "folder", "options"), [
    ("davis", "davis_mini", {"split": "val"}), ("youtube_vos", "ytvos_mini", {}),
    ("youtube_vis", "vis_mini", {"split": "train"}), ("youtube_vis", "vis_mini", {"split": "instances"})])
def test_reference_data_is_clean(shared, kind, folder, options):
    assert faults(kind, shared / "data" / folder, **options) == []


@pytest.mark.shared
def test_the_narrow_mask_of_judo_is_named(shared):
    one("folder", shared / "data/clips", "judo/masks/00005.png", "853 x 480", "854 x 480")
