"""Synthetic data sets on disk."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco

from vosplug.datasets.synthetic import SyntheticOptions
from vosplug.datasets.synthetic import writer as writer_module
from vosplug.datasets.synthetic.layouts import describe, run_lengths, share
from vosplug.datasets.synthetic.writer import HELD_OUT, plan, write_dataset
from vosplug.utils.errors import InputError, OutputError
from vosplug.utils.images import read_image
from vosplug.utils.masks import object_ids, read_mask

SIZE, FRAMES = (64, 96), 12
OPTIONS = SyntheticOptions(textures=24, objects=(2, 3), late=0.8)


def digests(folder: Path) -> dict[str, str]:
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest()
            for f in sorted(folder.rglob("*")) if f.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("synthetic") / "set"
    records = write_dataset(out, videos=5, val=2, size=SIZE, frames=FRAMES, seed=3, options=OPTIONS)
    return out, records


def test_workers_and_place_do_not_change_a_byte(made, tmp_path):
    out, _ = made
    write_dataset(tmp_path / "other", videos=5, val=2, size=SIZE, frames=FRAMES, seed=3, options=OPTIONS, workers=2)
    assert digests(out) == digests(tmp_path / "other")


def test_davis_layout(made):
    out, _ = made
    root = out / "davis"
    train = (root / "ImageSets/2017/train.txt").read_text().split()
    val = (root / "ImageSets/2017/val.txt").read_text().split()
    assert len(train) == 3 and len(val) == 2 and not set(train) & set(val)
    assert (root / "ImageSets/2016/val.txt").read_text().split() == val
    for name in train + val:
        pictures = sorted((root / "JPEGImages/480p" / name).iterdir())
        masks = sorted((root / "Annotations/480p" / name).iterdir())
        assert [p.name for p in pictures] == [f"{t:05d}.jpg" for t in range(FRAMES)]
        assert [m.stem for m in masks] == [p.stem for p in pictures]
        assert read_image(pictures[0]).shape == (*SIZE, 3)
        first = object_ids(read_mask(masks[0]))
        assert first == list(range(1, len(first) + 1)) and first
        assert all(set(object_ids(read_mask(m))) <= set(first) for m in masks)


def test_youtube_vos_layout(made):
    out, _ = made
    root = out / "youtube_vos"
    late = 0
    for video, entry in json.loads((root / "valid/meta.json").read_text())["videos"].items():
        steps = [f"{t:05d}" for t in range(0, FRAMES, 5)]
        reference = {f.stem: read_mask(f) for f in (root / "valid_reference/Annotations" / video).iterdir()}
        prompts = {f.stem: read_mask(f) for f in (root / "valid/Annotations" / video).iterdir()}
        assert sorted(reference) == steps == sorted(f.stem for f in (root / "valid/JPEGImages" / video).iterdir())
        assert len(list((root / "valid_all_frames/JPEGImages" / video).iterdir())) == FRAMES
        firsts = {o["frames"][0] for o in entry["objects"].values()}
        assert set(prompts) == firsts
        for i, info in entry["objects"].items():
            first = info["frames"][0]
            assert info["frames"] == steps[steps.index(first):]
            assert np.array_equal(prompts[first] == int(i), reference[first] == int(i))
            assert (prompts[first] == int(i)).sum() >= OPTIONS.min_visible * SIZE[0] * SIZE[1]
            assert not any((reference[s] == int(i)).any() for s in steps if s < first)
            late += first > steps[0]
    assert late > 0


def test_youtube_vos_training_frames_show_the_object(made):
    out, _ = made
    root = out / "youtube_vos/train"
    videos = json.loads((root / "meta.json").read_text())["videos"]
    assert len(videos) == 3
    for video, entry in videos.items():
        masks = {f.stem: read_mask(f) for f in (root / "Annotations" / video).iterdir()}
        for i, info in entry["objects"].items():
            assert info["frames"] == sorted(name for name, mask in masks.items() if (mask == int(i)).any())


def test_seen_and_unseen_categories(made):
    out, _ = made
    root = out / "youtube_vos"
    groups = json.loads((root / "seen_unseen.json").read_text())
    metas = {s: json.loads((root / s / "meta.json").read_text())["videos"] for s in ("train", "valid")}
    used = {s: {o["category"] for v in m.values() for o in v["objects"].values()} for s, m in metas.items()}
    assert set(groups["seen"]) == used["train"] and not set(groups["seen"]) & set(groups["unseen"])
    assert set(groups["unseen"]) == used["valid"] - used["train"] and groups["unseen"]


@pytest.mark.parametrize("split", ["train", "valid"])
def test_youtube_vis_layout(made, split):
    out, records = made
    root = out / "youtube_vis"
    data = json.loads((root / f"{split}.json").read_text())
    names = {c["id"]: c["name"] for c in data["categories"]}
    videos = {v["id"]: v for v in data["videos"]}
    assert len({a["id"] for a in data["annotations"]}) == len(data["annotations"]) > 0
    for annotation in data["annotations"]:
        video = videos[annotation["video_id"]]
        lengths = {len(annotation[key]) for key in ("segmentations", "bboxes", "areas")}
        assert lengths == {video["length"]} == {len(video["file_names"])}
        assert all((root / split / "JPEGImages" / name).is_file() for name in video["file_names"])
        record = next(r for r in records if video["file_names"][0].startswith(r.task.name))
        kinds = [i for i in record.tracks if record.categories[i] == names[annotation["category_id"]]]
        assert kinds
        assert any(s is not None for s in annotation["segmentations"])
        for segmentation, box, area in zip(*(annotation[k] for k in ("segmentations", "bboxes", "areas")), strict=True):
            assert (segmentation is None) == (box is None) == (area is None)
            if segmentation is not None:
                check_segmentation(segmentation, box, area, compressed=split == "valid")


def check_segmentation(segmentation, box, area, compressed):
    assert isinstance(segmentation["counts"], str if compressed else list)
    packed = segmentation if compressed else coco.frPyObjects(segmentation, *segmentation["size"])
    mask = coco.decode(packed)
    y, x = np.nonzero(mask)
    assert mask.shape == SIZE and mask.sum() == area
    assert box == [x.min(), y.min(), x.max() - x.min() + 1, y.max() - y.min() + 1]


def test_layouts_show_the_same_masks(made):
    out, records = made
    data = json.loads((out / "youtube_vis/train.json").read_text())
    compared = 0
    for record in records[:3]:
        name = record.task.name
        video = next(v["id"] for v in data["videos"] if v["file_names"][0].startswith(name))
        tracks = [a["segmentations"] for a in data["annotations"] if a["video_id"] == video]
        for i, track in zip(record.tracks, tracks, strict=True):
            if i not in record.davis_ids:
                continue
            for t, segmentation in enumerate(track):
                mask = read_mask(out / f"davis/Annotations/480p/{name}/{t:05d}.png") == i
                assert mask.any() == (segmentation is not None)
                if segmentation is not None:
                    assert segmentation["counts"] == run_lengths(mask)
                    compared += 1
    assert compared > FRAMES


def test_instances_join_both_files(made):
    out, _ = made
    root = out / "youtube_vis"
    both = json.loads((root / "instances.json").read_text())
    assert [v["id"] for v in both["videos"]] == [1, 2, 3, 4, 5]
    assert all((root / name).is_file() for v in both["videos"] for name in v["file_names"])
    parts = [json.loads((root / f"{s}.json").read_text())["annotations"] for s in ("train", "valid")]
    assert both["annotations"] == parts[0] + parts[1]


def test_held_out_classes_only_in_validation_and_not_in_vis(made):
    _, records = made
    held_out = set(OPTIONS.classes[-HELD_OUT:])
    for record in records:
        vis = {record.categories[i] for i in record.tracks}
        assert vis and not vis & held_out
        if record.task.split == "train":
            assert not set(record.categories.values()) & held_out


def test_run_lengths_agree_with_pycocotools():
    rng = np.random.default_rng(0)
    masks = [rng.random((7, 5)) < p for p in (0.0, 0.2, 0.5, 0.9, 1.0)]
    for mask in masks:
        counts = run_lengths(mask)
        assert sum(counts) == mask.size
        packed = coco.frPyObjects({"counts": counts, "size": [7, 5]}, 7, 5)
        assert np.array_equal(coco.decode(packed), mask)
    assert describe(masks[0]) is None


def test_a_foreign_folder_is_refused_and_kept(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    (tmp_path / "davis").mkdir()
    arguments = dict(videos=1, val=0, size=(32, 32), frames=1, options=OPTIONS)
    with pytest.raises(OutputError, match="thesis.txt|davis"):
        write_dataset(tmp_path, **arguments)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["davis", "thesis.txt"]
    write_dataset(tmp_path, **arguments, overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "precious"
    assert (tmp_path / "davis/ImageSets/2017/train.txt").is_file()


def test_own_folder_is_replaced(tmp_path):
    arguments = dict(val=0, size=(32, 32), frames=1, options=OPTIONS)
    write_dataset(tmp_path / "a", videos=2, **arguments)
    write_dataset(tmp_path / "a", videos=1, **arguments)
    assert len(list((tmp_path / "a/davis/JPEGImages/480p").iterdir())) == 1


def test_an_interrupted_run_leaves_nothing_that_looks_complete(tmp_path, monkeypatch):
    def stop(record):
        raise KeyboardInterrupt

    arguments = dict(videos=2, val=1, size=(32, 32), frames=1, options=OPTIONS)
    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path / "new", **arguments, progress=stop)
    assert not (tmp_path / "new").exists()
    write_dataset(tmp_path / "old", **arguments)
    before = digests(tmp_path / "old")
    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path / "old", **arguments, progress=stop)
    assert digests(tmp_path / "old") == before
    left = tmp_path / "killed" / f"{writer_module._STAGING}xyz"
    left.mkdir(parents=True)
    write_dataset(tmp_path / "killed", **arguments)
    assert not left.exists()


def test_pictures_are_copied_where_links_are_impossible(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr("os.link", refuse)
    (tmp_path / "a").write_bytes(b"picture")
    share(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"picture"


@pytest.mark.parametrize("change", [dict(videos=0), dict(val=3), dict(val=-1), dict(frames=0), dict(seed=-1)])
def test_impossible_plans_are_refused(change):
    with pytest.raises(InputError):
        plan(**{**dict(videos=2, val=1, size=SIZE, frames=2, seed=0, options=OPTIONS), **change})
