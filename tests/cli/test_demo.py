"""The demo command."""

import json

import cv2
import numpy as np
import pytest
import torch

from tests.inference.colour_segmentor import moving_squares
from vosplug.cli.demo import main
from vosplug.inference import OverlayVideoWriter, VideoReader, build_segmentor
from vosplug.inference.gate_marks import GateMarks
from vosplug.inference.readers import Frame
from vosplug.registry import SEGMENTORS
from vosplug.structures import Decision, StepOutput
from vosplug.utils.checkpoint import save_checkpoint_file
from vosplug.utils.configs import load_config
from vosplug.utils.images import write_image
from vosplug.utils.masks import read_mask, write_mask

CLIP = list(moving_squares())


@pytest.fixture
def model(root, tmp_path):
    config = str(root / "configs" / "_base_" / "stcn_small_model.py")
    save_checkpoint_file({"state_dict": build_segmentor(config, seed=0).state_dict()}, tmp_path / "small.pth")
    return config, str(tmp_path / "small.pth")


@pytest.fixture
def clip(tmp_path):
    with OverlayVideoWriter(tmp_path / "clip.mp4", fps=8) as writer:
        for t, (image, _) in enumerate(CLIP):
            write_image(tmp_path / "images" / f"{t:05d}.png", image)
            writer.write(Frame(t, f"{t:05d}", image), np.zeros(image.shape[:2], np.uint8))
    write_mask(tmp_path / "first.png", CLIP[0][1])
    return tmp_path


def test_from_a_video_to_everything(model, clip, capsys):
    outputs = [clip / "o.mp4", clip / "o", clip / "o.json"]
    arguments = [*model, str(clip / "clip.mp4"), "--mask", str(clip / "first.png"), "--max-short-side", "32",
                 "--memory-log", str(clip / "memory.csv"), "--device", "cpu"]
    assert main([*arguments, *(a for out in outputs for a in ("--out", str(out)))]) == 0
    reader = VideoReader(outputs[0])
    assert len(list(reader)) == 6 and reader.fps == 8
    np.testing.assert_array_equal(read_mask(outputs[1] / "00000.png"), CLIP[0][1])
    assert len(json.loads(outputs[2].read_text())["frames"]) == 6
    assert len((clip / "memory.csv").read_text().splitlines()) == 7
    said = capsys.readouterr().out
    assert "6 frames of 60 x 40, 2 objects" in said and all(f"written: {out}" in said for out in outputs)


@pytest.mark.parametrize("method, grey", [("SST", True), ("SST", False), ("CFBI", True)])
def test_methods_of_slots_take_a_video_and_a_grey_or_palette_mask(clip, method, grey):
    config, mask = clip / "slots.py", clip / "given.png"
    config.write_text(f"model = {SEGMENTORS.example(method)!r}\n")
    save_checkpoint_file({"state_dict": build_segmentor(str(config), seed=0).state_dict()}, clip / "slots.pth")
    if grey:
        cv2.imwrite(str(mask), CLIP[0][1])
    else:
        write_mask(mask, CLIP[0][1])
    assert main([str(config), str(clip / "slots.pth"), str(clip / "clip.mp4"), "--mask", str(mask), "--device", "cpu",
                 "--out", str(clip / "o.mp4"), "--out", str(clip / "o")]) == 0
    np.testing.assert_array_equal(read_mask(clip / "o" / "00000.png"), CLIP[0][1])
    assert len(list(VideoReader(clip / "o.mp4"))) == 6


def test_from_a_folder_with_a_limit(model, clip):
    assert main([*model, str(clip / "images"), "--mask", str(clip / "first.png"), "--out", str(clip / "o"),
                 "--max-frames", "2", "--prefetch", "0"]) == 0
    assert sorted(p.name for p in (clip / "o").iterdir()) == ["00000.png", "00001.png"]


def test_foreground_masks_and_repeated_ids(model, clip):
    write_mask(clip / "masks" / "00000.png", np.where(CLIP[0][1] == 1, 255, 0))
    write_mask(clip / "masks" / "00002.png", np.where(CLIP[2][1] == 1, 255, 0))
    arguments = [*model, str(clip / "images"), "--mask", str(clip / "masks"), "--out", str(clip / "o"), "--binary-mask"]
    assert main(arguments) == 2
    assert len(list((clip / "o").iterdir())) == 2  # what came before the refused mask is kept
    assert main([*arguments, "--skip-known-ids"]) == 0
    np.testing.assert_array_equal(read_mask(clip / "o" / "00000.png"), np.where(CLIP[0][1] == 1, 1, 0))


def test_later_masks_correct(model, clip):
    write_mask(clip / "masks" / "00000.png", CLIP[0][1])
    write_mask(clip / "masks" / "00002.png", CLIP[3][1])
    arguments = [*model, str(clip / "images"), "--mask", str(clip / "masks"), "--out", str(clip / "o")]
    assert main([*arguments, "--correct"]) == 0
    np.testing.assert_array_equal(read_mask(clip / "o" / "00002.png"), CLIP[3][1])
    with pytest.raises(SystemExit):
        main([*arguments, "--correct", "--skip-known-ids"])


def test_the_input_alone_or_all_three(model, clip, capsys):
    rest = ["--mask", str(clip / "first.png"), "--out", str(clip / "o")]
    assert main([model[0], str(clip / "images"), *rest]) == 2
    assert "CONFIG CHECKPOINT INPUT; got 2 arguments" in capsys.readouterr().err
    assert main([model[0], model[1], *rest, str(clip / "images"), "--max-frames", "1"]) == 0


@pytest.mark.parametrize(("change", "message"), [
    ({"input": "none.mp4"}, "input not found"),
    ({"input": "broken.mp4"}, "broken.mp4"),
    ({"input": "empty"}, "has no pictures"),
    ({"mask": "none.png"}, "mask not found"),
    ({"mask": "rgb.png"}, "RGB picture"),
    ({"mask": "background.png"}, "has no object"),
    ({"mask": "small.png"}, "must have the size of their frame"),
    ({"out": "o.png"}, "give a folder"),
    ({"out": "first.png/x.json"}, "cannot write"),
    ({"checkpoint": "first.png"}, "first.png"),
])
def test_bad_input_is_one_line(model, clip, capsys, change, message):
    (clip / "broken.mp4").write_bytes(b"\0" * 100)
    (clip / "empty").mkdir()
    write_image(clip / "rgb.png", CLIP[0][0])
    write_mask(clip / "background.png", np.zeros_like(CLIP[0][1]))
    write_mask(clip / "small.png", CLIP[0][1][::2, ::2])
    given = {"input": "clip.mp4", "mask": "first.png", "out": "o", "checkpoint": "small.pth", **change}
    paths = {key: str(clip / value) for key, value in given.items()}
    assert main([model[0], paths["checkpoint"], paths["input"], "--mask", paths["mask"], "--out", paths["out"]]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and message in error


def test_a_gate_is_shown_in_the_video(model, clip, capsys):
    config = clip / "gated.py"
    config.write_text(f"model = {SEGMENTORS.example('ReuseGated', tau=0.0)!r}\n")
    save_checkpoint_file({"state_dict": build_segmentor(load_config(config), seed=0).state_dict()}, clip / "g.pth")
    arguments = [str(config), str(clip / "g.pth"), str(clip / "images"), "--mask", str(clip / "first.png"),
                 "--device", "cpu"]
    drawn = []
    for more in ([], ["--show-gate"]):
        assert main([*arguments, "--out", str(clip / "o.mp4"), *more]) == 0
        drawn.append([frame.image[:14, :40].astype(int) for frame in VideoReader(clip / "o.mp4")])
    changed = [np.abs(a - b).mean() for a, b in zip(*drawn, strict=True)]
    assert len(changed) == 6 and min(changed) > 20  # a mark on every frame
    assert main([*arguments, "--out", str(clip / "masks"), "--show-gate"]) == 2
    assert "--show-gate needs an overlay video" in capsys.readouterr().err
    assert main([*model, *arguments[2:], "--out", str(clip / "o.mp4"), "--show-gate"]) == 2
    assert "STCN has no reuse gate" in capsys.readouterr().err


def test_marks_say_what_was_decided():
    marks = GateMarks()
    note = Decision(((0, 3), (0, 7)), torch.tensor([True, False]), torch.tensor([0.8, 0.25]),
                    torch.tensor([False, False]))
    marks.see(StepOutput(torch.zeros(1, 4, 2, 2), (3, 7, 9), [note]))
    assert [(m.text, m.value) for m in marks.marks] == [("3 reused 0.80", 3), ("7 computed 0.25", 7), ("9 computed", 9)]
    marks.see(StepOutput(torch.zeros(1, 1, 2, 2), (), []))
    assert marks.marks == []
