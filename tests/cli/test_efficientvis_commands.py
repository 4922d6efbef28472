"""EfficientVIS through the commands: train, resume, test."""

import json

import cv2
import pytest
from pycocotools import mask as coco

from tests.models.tracklets.helpers import moving_squares
from vosplug.cli.test import main as score
from vosplug.cli.train import main as train
from vosplug.inference import build_segmentor
from vosplug.utils.checkpoint import save_checkpoint_file
from vosplug.utils.configs import load_config

MODEL = """
_base_ = []
data_root = "data"
norm = dict(type="GN")
conv = dict(type="TemporalDynamicConv", hidden=8)
model = dict(
    type="EfficientVIS", preprocessor=dict(type="VISPreprocessor", divisor=32), num_classes=3,
    backbone=dict(type="ResNet", depth=None, block="basic", blocks=(1, 1, 1), stem_channels=8, widths=(8, 8, 16),
                  norm=norm),
    neck=dict(type="FPN", channels=16), num_interactions=2, clip_length=3,
    queries=dict(type="TrackletQueries", num_queries=4),
    interaction=dict(attention=dict(type="FactorisedAttention", heads=4),
                     head=dict(type="TrackletHead", ffn_channels=16, dynamic_conv=conv),
                     mask_head=dict(type="TrackletMaskHead", convs=1, norm=norm, size=7, dynamic_conv=conv)))
train_dataloader = dict(
    dataset=dict(type="VISClips", size=(48, 64), pairs=True, max_tracks=4,
                 videos=dict(type="YouTubeVISDataset", data_root=data_root, split="train")),
    batch_size=2, num_workers=0)
clip = dict(length=2, max_skip=1)
optim_wrapper = dict(optimizer=dict(type="AdamW", lr=1e-3), accumulative_counts=2)
train_cfg = dict(max_iters=4)
val_dataset = dict(type="YouTubeVISDataset", data_root=data_root, split="valid")
test_dataset = dict(type="YouTubeVISDataset", data_root=data_root, split="valid")
test_session = dict(size=(48, 64), min_score=0.0)
"""


def write_split(root, split: str, annotated: bool = True, gone: int | None = 2) -> None:
    """Two videos of 5 frames with two squares each, in the layout of YouTube-VIS."""
    videos, annotations = [], []
    for number in (1, 2):
        pictures, sample = moving_squares(length=5, start=number, gone=gone)
        folder = root / split / "JPEGImages" / f"video{number}"
        folder.mkdir(parents=True)
        names = [f"video{number}/{t:05d}.jpg" for t in range(5)]
        for name, picture in zip(names, pictures, strict=True):
            cv2.imwrite(str(root / split / "JPEGImages" / name), picture.permute(1, 2, 0).numpy()[..., ::-1].copy())
        videos.append(dict(id=number, width=64, height=48, length=5, file_names=names))
        for track in range(2):
            masks = [coco.encode(mask.numpy().astype("uint8", order="F")) for mask in sample.masks[track]]
            rles = [dict(size=m["size"], counts=m["counts"].decode()) if coco.area(m) else None for m in masks]
            annotations.append(dict(
                id=2 * number + track, video_id=number, category_id=int(sample.categories[track]) + 1, iscrowd=0,
                width=64, height=48, segmentations=rles,
                bboxes=[None if r is None else coco.toBbox(m).tolist() for r, m in zip(rles, masks, strict=True)],
                areas=[None if r is None else int(coco.area(m)) for r, m in zip(rles, masks, strict=True)]))
    content = dict(videos=videos, categories=[dict(id=k + 1, name=n) for k, n in enumerate("abc")])
    if annotated:
        content["annotations"] = annotations
    (root / f"{split}.json").write_text(json.dumps(content))


@pytest.fixture
def place(tmp_path):
    write_split(tmp_path / "data", "train")
    write_split(tmp_path / "data", "valid")
    write_split(tmp_path / "data", "test", annotated=False)
    (tmp_path / "tiny.py").write_text(MODEL)
    return tmp_path


def run(command, place, *more) -> int:
    return command([str(place / "tiny.py"), *map(str, more), "--data-root", str(place / "data")])


def test_it_trains_validates_resumes_and_is_scored(place):
    work = place / "work"
    assert run(train, place, "--work-dir", work) == 0
    assert run(train, place, "--work-dir", work, "--resume", "--cfg-options", "train_cfg.max_iters=6") == 0
    out, numbers = place / "out", place / "numbers.json"
    assert run(score, place, work / "final.pth", "--eval", "youtube_vis", "--out", out, "--json", numbers) == 0
    scores = json.loads(numbers.read_text())
    assert {"AP", "AP50", "AP75", "AR1", "AR10", "fps", "frames"} <= set(scores) and scores["frames"] == 10
    tracks = json.loads((out / "results.json").read_text())
    assert tracks and all(len(t["segmentations"]) == 5 and t["category_id"] in (1, 2, 3) for t in tracks)
    assert {t["video_id"] for t in tracks} == {1, 2}
    hand = ("--cfg-options", "model.linker={'type': 'HandCraftedLinking'}")
    assert run(score, place, work / "final.pth", "--eval", "youtube_vis", *hand) == 0


def test_demo_and_overlays_of_a_test(place, capsys):
    from vosplug.cli.demo import main as demo
    from vosplug.inference import VideoReader

    work, video = place / "work", place / "data" / "valid" / "JPEGImages" / "video1"
    assert run(train, place, "--work-dir", work, "--cfg-options", "train_cfg.max_iters=1", "val_dataset=None") == 0
    command = [str(place / "tiny.py"), str(work / "final.pth"), str(video), "--device", "cpu"]
    out = [place / "o.mp4", place / "o", place / "o.json"]
    assert demo([*command, "--min-score", "0", *(a for path in out for a in ("--out", str(path)))]) == 0
    assert len(list(VideoReader(out[0]))) == len(list(out[1].iterdir())) == 5
    content = json.loads(out[2].read_text())
    assert len(content["frames"]) == 5 and {track["category"] for track in content["tracks"]} <= set("abc")
    said = " ".join(capsys.readouterr().out.split())
    assert f"5 frames of 64 x 48, {len(content['tracks'])} tracks" in said and "category" in said
    (place / "names.txt").write_text("one\ntwo\n\nthree\n")
    for names in ("names.txt", "data/valid.json"):
        assert demo([*command, "--min-score", "0", "--out", str(out[2]), "--classes", str(place / names),
                     "--clip-length", "2", "--max-frames", "3"]) == 0
        content = json.loads(out[2].read_text())
        known = {"one", "two", "three"} if names == "names.txt" else set("abc")
        assert len(content["frames"]) == 3 and {track["category"] for track in content["tracks"]} <= known
    assert demo([*command, "--min-score", "1", "--out", str(out[2])]) == 0  # nothing is that certain
    assert json.loads(out[2].read_text())["tracks"] == []
    show = place / "show"
    assert run(score, place, work / "final.pth", "--eval", "youtube_vis", "--show-dir", show, "--show-score", "0") == 0
    assert sorted(path.name for path in show.iterdir()) == ["video1.mp4", "video2.mp4"]
    assert len(list(VideoReader(show / "video2.mp4"))) == 5


def test_without_annotations_there_is_a_submission_and_no_number(place, capsys):
    work, out = place / "work", place / "out"
    assert run(train, place, "--work-dir", work, "--cfg-options", "train_cfg.max_iters=1", "val_dataset=None") == 0
    assert run(score, place, work / "final.pth", "--set", "test", "--out", out) == 0
    assert (out / "submission.zip").is_file()
    assert "No numbers" in capsys.readouterr().out


@pytest.mark.parametrize("more, words", [
    (["--eval", "davis"], ["finds instances by itself", "--eval youtube_vis"]),
    (["--flip"], ["--flip has no effect", "leave it out"]),
    (["--cfg-options", "model.num_classes=5"], ["5 classes", "data set 3"])])
def test_what_does_not_fit_is_one_line(place, more, words, capsys):
    import torch

    from vosplug.inference.model_loading import build_segmentor
    from vosplug.utils.configs import load_config

    config = load_config(place / "tiny.py", data_root=str(place / "data"))
    if "model.num_classes=5" in more:
        config.model.num_classes = 5
    torch.save(build_segmentor(config).state_dict(), place / "weights.pth")
    assert run(score, place, place / "weights.pth", *more) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and all(word in error for word in words), error


def test_nothing_found_is_a_result_but_no_submission(place, capsys):
    """A list without entries is scored; the server would fail at it."""
    config, out = load_config(place / "tiny.py"), place / "out"
    save_checkpoint_file({"state_dict": build_segmentor(config, seed=0).state_dict()}, place / "v.pth")
    nothing = ("--eval", "youtube_vis", "--device", "cpu", "--out", out, "--cfg-options", "test_session.min_score=1.0")
    assert run(score, place, place / "v.pth", *nothing, "--set", "test", "--json", place / "n.json") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "No numbers" in said and "No submission: nothing was found" in said
    assert not (out / "submission.zip").exists() and json.loads((out / "results.json").read_text()) == []
    assert "AP" not in json.loads((place / "n.json").read_text())
    found = (*nothing[:-1], "test_session.min_score=0.0", "--set", "test")
    assert run(score, place, place / "v.pth", *found) == 0
    assert (out / "submission.zip").is_file() and "Submission for the server" in capsys.readouterr().out
    assert run(score, place, place / "v.pth", *nothing, "--set", "valid", "--json", place / "n.json") == 0
    assert json.loads((place / "n.json").read_text())["AP"] == 0
