"""Bad input of video instance segmentation: one clear line each; what is handled instead runs to its end."""

import json
import shutil

import pytest
import torch

from tests.bad_inputs_helpers import (
    Bad,
    World,
    check_bad,
    cut,
    folder,
    full_disk,
    make_world,
    remove,
    rename,
    run_line,
)
from tests.cli.test_efficientvis_commands import MODEL, write_split
from vosplug.inference import build_segmentor
from vosplug.utils.checkpoint import load_checkpoint_file, save_checkpoint_file
from vosplug.utils.configs import load_config

TRAIN = "train vis.py --work-dir run --device cpu"
TEST = "test vis.py vis.pth --device cpu --eval youtube_vis"
DEMO = "demo vis.py vis.pth frames --device cpu --out o"
SCORE = "eval_masks youtube_vis --gt data/valid.json --pred results.json"
FRAME = "data/valid/JPEGImages/video2/00003.jpg"


def edit(path, change):
    """Change the content of a JSON file."""
    def act(world: World) -> None:
        content = json.loads((world.folder / path).read_text())
        change(content)
        world.write(path, json.dumps(content))
    return act


def annotation(number, **changes):
    """Change an annotation of the training and of the validation file."""
    def act(world: World) -> None:
        for split in ("train", "valid"):
            edit(f"data/{split}.json", lambda content: content["annotations"][number].update(changes))(world)
    return act


def drop(key):
    """Leave a list out of both files."""
    def act(world: World) -> None:
        for split in ("train", "valid"):
            edit(f"data/{split}.json", lambda content: content.pop(key))(world)
    return act


def empty(key):
    """Empty a list of both files."""
    def act(world: World) -> None:
        for split in ("train", "valid"):
            edit(f"data/{split}.json", lambda content: content.update({key: []}))(world)
    return act


def another_size(content):
    """The file says another size than that of the masks and pictures of a video."""
    content["videos"][1].update(width=32, height=24)


WRONG_RLE = dict(segmentations=[{"size": [10, 10], "counts": "T3"}] * 5)
BROKEN_RLE = dict(segmentations=[{"size": [48, 64], "counts": "T3"}] * 5)
SHORT = dict(segmentations=[None] * 3)

DATA = [
    Bad("train-no-categories", TRAIN, ("data/train.json: expected a list of categories, got nothing",),
        drop("categories")),
    Bad("test-no-categories", TEST, ("data/valid.json: expected a list of categories",), drop("categories")),
    Bad("train-empty-categories", TRAIN, ("data/train.json: the list of categories is empty",), empty("categories")),
    Bad("train-category-unknown", TRAIN, ("data/train.json, annotation 3", "category_id 9 is not among the 3"),
        annotation(1, category_id=9)),
    Bad("test-category-unknown", TEST, ("data/valid.json, annotation 3", "category_id 9"),
        annotation(1, category_id=9)),
    Bad("train-video-unknown", TRAIN, ("annotation 3", "video_id 77 is not among the 2 videos"),
        annotation(1, video_id=77)),
    Bad("train-no-annotations", TRAIN, ("no video of YouTubeVISDataset has an annotated object",),
        drop("annotations")),
    Bad("train-empty-annotations", TRAIN, ("no video of YouTubeVISDataset has an annotated object",),
        empty("annotations")),
    Bad("test-empty-annotations", TEST, ("data/valid.json", "the list of annotations is empty"),
        empty("annotations")),
    Bad("test-no-annotations-and-no-out", TEST, ("2 videos have no reference masks", "--out DIR"),
        drop("annotations")),
    Bad("train-rle-of-another-size", TRAIN, ("data/train.json, annotation 2, frame", "10", "48"),
        annotation(0, **WRONG_RLE)),
    Bad("test-rle-of-another-size", TEST, ("annotation 2, frame 0", "[10, 10]", "[48, 64]"),
        annotation(0, **WRONG_RLE)),
    Bad("train-rle-broken", TRAIN, ("data/train.json, annotation 2, frame",), annotation(0, **BROKEN_RLE)),
    Bad("test-rle-broken", TEST, ("annotation 2, frame 0: bad run lengths", "the picture has 3072"),
        annotation(0, **BROKEN_RLE)),
    Bad("train-too-few-segmentations", TRAIN, ("annotation 2", "one entry for each of the 5 frames"),
        annotation(0, **SHORT)),
    Bad("test-another-size", TEST, ("video2/00000.jpg: the picture is 64 x 48, but the annotation file says 32 x 24",),
        edit("data/valid.json", another_size), keeps=()),
    Bad("train-json-missing", TRAIN, ("annotation file not found: data/train.json", "make_synthetic"),
        remove("data/train.json")),
    Bad("train-json-misnamed", TRAIN, ("annotation file not found: data/train.json", "Did you mean 'trian.json'"),
        rename("data/train.json", "trian.json")),
    Bad("test-json-cut", TEST, ("data/valid.json: not valid JSON",), cut("data/valid.json")),
    Bad("train-data-missing", f"{TRAIN} --data-root nowhere",
        ("folder not found: nowhere", "<split>/JPEGImages/<video>", "tools/make_synthetic.py")),
    Bad("test-data-missing", f"{TEST} --data-root nowhere", ("folder not found: nowhere", "tools/make_synthetic.py")),
    Bad("test-pictures-missing", TEST, ("pictures not found: data/valid/JPEGImages",), remove("data/valid")),
    Bad("test-frame-damaged", TEST, ("video video2", "00003.jpg"), cut(FRAME, 0.2)),
    Bad("test-frame-missing", f"{TEST} --out out", ("video video2", "00003.jpg"), remove(FRAME),
        keeps=("out/results.json",)),
    Bad("test-split-misspelt", f"{TEST} --set vaild", ("unknown YouTube-VIS split 'vaild'", "Did you mean 'valid'")),
    Bad("test-sequence-misspelt", f"{TEST} --sequences vidoe1", ("Did you mean 'video1'",)),
    Bad("test-eval-misspelt", TEST.replace("youtube_vis", "youtube_viss"), ("--eval", "youtube_vis"), usage=True),
]

MODELS = [
    Bad("train-classes-too-few", f"{TRAIN} --cfg-options model.num_classes=2", ("num_classes", "2 classes")),
    Bad("test-classes-differ", f"{TEST} --cfg-options model.num_classes=5", ("vis.pth does not fit",)),
    Bad("test-weights-of-vos", TEST.replace("vis.pth", "tiny.pth"), ("tiny.pth does not fit EfficientVIS", "convert")),
    Bad("test-vos-config", TEST.replace("vis.py vis.pth", "tiny.py tiny.pth"), ("--eval youtube_vis needs a method",)),
    Bad("test-weights-of-mmdet", TEST.replace("vis.pth", "queryinst.pth"),
        ("queryinst.pth does not fit", "tools/convert_checkpoint.py")),
    Bad("test-weights-missing", TEST.replace("vis.pth", "none.pth"), ("checkpoint not found: none.pth",)),
    Bad("convert-another-family", "convert_checkpoint mask_rcnn tiny.pth out.pth --config vis.py",
        ("none of the", "belongs to this family")),
    Bad("train-part-misspelt", f"{TRAIN} --cfg-options \"model.linker=dict(type='QueryLinkin')\"",
        ("Did you mean 'QueryLinking'",)),
    Bad("train-part-of-another-kind", f"{TRAIN} --cfg-options \"model.linker=dict(type='FPN')\"", ("FPN", "linker")),
    Bad("train-option-misspelt", f"{TRAIN} --cfg-options model.num_interaction=3", ("num_interactions",)),
    Bad("train-fewer-queries-than-objects", f"{TRAIN} --cfg-options model.queries.num_queries=1",
        ("2 instances but the model 1 tracklet queries", "max_tracks")),
    Bad("train-hand-crafted", f"{TRAIN} --cfg-options \"model.linker=dict(type='HandCraftedLinking')\"",
        ("correspondence learning needs a linker that carries queries",)),
    Bad("session-option-misspelt", f"{TEST} --cfg-options test_session.clip_lenght=3", ("clip_length",)),
    Bad("session-clip-length", f"{TEST} --cfg-options test_session.clip_length=0", ("clip_length must be at least 1",)),
    Bad("test-out-of-disk", f"{TEST} --out out", ("cannot write", "No space left"), full_disk()),
    Bad("test-show-score-alone", f"{TEST} --show-score 0.5", ("--show-score needs --show-dir",)),
    Bad("test-show-dir-is-a-file", f"{TEST} --show-dir first.png", ("first.png",)),
    Bad("test-flip", f"{TEST} --flip", ("--flip has no effect",)),
]

USE = [
    Bad("demo-with-a-mask", f"{DEMO} --mask first.png", ("--mask has no effect", "finds instances by itself")),
    Bad("demo-with-a-scale", f"{DEMO} --scales 0.5 1", ("--scales has no effect",)),
    Bad("demo-without-a-mask", "demo tiny.py tiny.pth images --device cpu --out o",
        ("--mask is needed", "TinySegmentor")),
    Bad("demo-min-score-of-vos", "demo tiny.py tiny.pth images --mask first.png --device cpu --out o --min-score 0.5",
        ("--min-score has no effect", "TinySegmentor")),
    Bad("demo-min-score", f"{DEMO} --min-score 7", ("--min-score must lie in 0..1",)),
    Bad("demo-clip-length", f"{DEMO} --clip-length 0", ("--clip-length", "at least 1"), usage=True),
    Bad("demo-weights", DEMO.replace("vis.pth", "tiny.pth"), ("does not fit EfficientVIS",)),
    Bad("demo-classes-missing", f"{DEMO} --classes names.txt", ("--classes names.txt cannot be read",)),
    Bad("demo-classes-too-few", f"{DEMO} --classes names.txt", ("2 names of classes", "3 classes"),
        lambda w: w.write("names.txt", "a\nb\n")),
    Bad("demo-classes-empty", f"{DEMO} --classes names.txt", ("names no class",), lambda w: w.write("names.txt", "\n")),
    Bad("demo-input-missing", DEMO.replace("frames", "nothing.mp4"), ("input not found: nothing.mp4",)),
    Bad("demo-empty-folder", DEMO, ("frames has no pictures",), folder("frames")),
    Bad("demo-frame-damaged", DEMO, ("frames/00003.jpg",), cut("frames/00003.jpg", 0.2), keeps=("o/00002.png",)),
    Bad("demo-output-is-the-input", DEMO.replace("--out o", "--out frames"), ("frames", "input")),
    Bad("demo-output-suffix", f"{DEMO}.gif", ("give a folder",)),
    Bad("demo-disk-full-json", f"{DEMO}.json", ("cannot write o.json", "No space left"), full_disk()),
    Bad("stats-objects", "model_stats vis.py --objects 2", ("--objects has no effect", "clip by clip")),
    Bad("stats-density", "model_stats vis.py --density 0.5", ("--density has no effect",)),
    Bad("stats-frames-of-vos", "model_stats tiny.py --frames 9", ("--frames has no effect", "frame by frame")),
    Bad("benchmark-objects", "benchmark vis.py --objects 2 --device cpu", ("--objects has no effect",)),
    Bad("benchmark-two-kinds", "benchmark vis.py --compare tiny.py --device cpu", ("two methods of one kind",)),
    Bad("benchmark-clips-of-vos", "benchmark tiny.py --clip-length 3 --device cpu", ("--clip-length has no effect",)),
    Bad("memory-flip", "plot_memory vis.py --out m.csv --flip --frames 9 --device cpu", ("--flip has no effect",)),
    Bad("scored-no-annotations", SCORE, ("data/valid.json has no annotations",),
        lambda w: (drop("annotations")(w), w.write("results.json", "[]"))),
]

ALL = [*DATA, *MODELS, *USE]


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """The folder that every test gets a copy of: data sets, a config with weights, and what make_world makes."""
    path = tmp_path_factory.mktemp("bad") / "world"
    path.mkdir()
    make_world(path)
    for split in ("train", "valid"):
        write_split(path / "data", split)
    shutil.copytree(path / "data" / "valid" / "JPEGImages" / "video1", path / "frames")
    (path / "vis.py").write_text(MODEL)
    state = build_segmentor(load_config(path / "vis.py"), seed=0).state_dict()
    save_checkpoint_file({"state_dict": state}, path / "vis.pth")
    names = ("backbone.conv1.weight", "rpn_head.init_proposal_bboxes.weight", "roi_head.bbox_head.0.fc_cls.weight")
    save_checkpoint_file({name: torch.zeros(1) for name in names}, path / "queryinst.pth")
    return path


@pytest.mark.parametrize("bad", ALL, ids=lambda bad: bad.name)
def test_bad_input(bad, world, capfd):
    check_bad(bad, world, capfd)


def resize_video(world: World, split: str) -> None:
    """Make the second video of a split larger: pictures, masks and what the file says."""
    import cv2
    import numpy as np
    from pycocotools import mask as coco

    for path in sorted((world.folder / "data" / split / "JPEGImages" / "video2").iterdir()):
        cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), (80, 72)))

    def change(content):
        content["videos"][1].update(width=80, height=72)
        for entry in content["annotations"]:
            if entry["video_id"] == 2:
                masks = [None if s is None else cv2.resize(coco.decode(s), (80, 72)) for s in entry["segmentations"]]
                packed = [None if m is None else coco.encode(np.asfortranarray(m)) for m in masks]
                entry["segmentations"] = [None if p is None else {"size": [72, 80], "counts": p["counts"].decode()}
                                          for p in packed]
                entry.update(areas=None, bboxes=None)

    edit(f"data/{split}.json", change)(world)


@pytest.mark.parametrize("options", [
    "clip.length=9", "model.clip_length=9",
    "train_dataloader.dataset.max_tracks=1 model.queries.num_queries=1",
], ids=["long-clips", "long-clips-in-inference", "one-query-for-one-of-the-objects"])
def test_what_is_handled_trains_and_is_scored(options, world, capfd):
    assert run_line(f"{TRAIN} --cfg-options train_cfg.max_iters=2 {options}") == 0
    given = f"--cfg-options {options}" if "model" in options else ""
    assert run_line(f"{TEST.replace('vis.pth', 'run/final.pth')} --json numbers.json {given}") == 0
    assert not capfd.readouterr().err
    assert 0 <= json.loads((world.folder / "numbers.json").read_text())["AP"] <= 1


def test_videos_of_mixed_sizes_share_a_batch_and_keep_their_size(world, capfd):
    for split in ("train", "valid"):
        resize_video(world, split)
    assert run_line(f"{TRAIN} --cfg-options train_cfg.max_iters=2") == 0
    assert run_line(f"{TEST.replace('vis.pth', 'run/final.pth')} --out out") == 0
    assert not capfd.readouterr().err
    sizes = {track["video_id"]: {tuple(s["size"]) for s in track["segmentations"] if s}
             for track in json.loads((world.folder / "out" / "results.json").read_text())}
    assert sizes == {1: {(48, 64)}, 2: {(72, 80)}}


def test_a_checkpoint_names_the_classes_of_its_training(world):
    assert run_line(f"{TRAIN} --cfg-options train_cfg.max_iters=1") == 0
    assert load_checkpoint_file(world.folder / "run" / "final.pth")["meta"]["classes"] == ["a", "b", "c"]


def test_names_differ():
    names = [row.name for row in ALL]
    assert len(set(names)) == len(names)
