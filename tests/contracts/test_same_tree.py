"""One tree, fed to every command: each sees the same videos, the same frames in the same order, and the same ids."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.bad_inputs_helpers import CLIP, MODEL, TINY_PARTS, TRAINING, run_line
from vosplug.cli import check_data
from vosplug.datasets import video_clips
from vosplug.datasets.checks.base import Result
from vosplug.inference import build_segmentor
from vosplug.registry import load_plugin
from vosplug.utils.checkpoint import save_checkpoint_file
from vosplug.utils.masks import write_mask

ORDERS = {"plain": ["8", "9", "10", "11"], "IMG": ["IMG_8", "IMG_9", "IMG_10", "IMG_100"],
          "car 1": ["00000", "00001", "00002", "00003"], "mixed": ["a1b2", "a1b10", "a2b1", "a10b1"]}
IDS = {"plain": [1, 2], "IMG": [1, 2], "car 1": [1, 2], "mixed": [1, 2]}


def picture(path, image, exif=1):
    """A JPEG, stored turned if its EXIF says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tags = Image.Exif()
    tags[0x0112] = exif
    Image.fromarray(np.rot90(image) if exif == 6 else image).save(path, format="JPEG", quality=95, exif=tags)


def fill(images, masks, name):
    """Frames and masks of one video: suffixes in upper case, turned pictures, grey masks and palette masks."""
    for t, frame in enumerate(ORDERS[name]):
        picture(images / f"{frame}.{'JPG' if name == 'IMG' else 'jpg'}", CLIP[t][0], 6 if name == "plain" else 1)
        path = masks / f"{frame}.{'PNG' if name == 'IMG' else 'png'}"
        write_mask(path.with_suffix(".png"), CLIP[t][1])
        if name == "mixed":
            Image.fromarray(CLIP[t][1]).save(path)
        elif path.suffix != ".png":
            path.with_suffix(".png").rename(path)
        (images / ".hidden.jpg").write_bytes(b"x")
        (masks / "._00000.png").write_bytes(b"x")


@pytest.fixture(params=["davis", "folder"])
def tree(request, tmp_path, monkeypatch):
    """Kind of the tree, and the folders of the pictures and of the masks of each video."""
    monkeypatch.chdir(tmp_path)
    load_plugin(str(TINY_PARTS))
    root = tmp_path / "tree"
    places = {}
    for name in ORDERS:
        inner = (("JPEGImages/480p", name), ("Annotations/480p", name)) if request.param == "davis" else (
            (name, "Images"), (name, "masks"))
        places[name] = tuple(root.joinpath(*parts) for parts in inner)
        fill(*places[name], name)
    if request.param == "davis":
        (root / "ImageSets/2017").mkdir(parents=True)
        for split in ("train", "val"):
            text = "\ufeff# all of them\r\n" + "\r\n".join(f"{name} " for name in ORDERS) + "\r\n\r\n"
            (root / f"ImageSets/2017/{split}.txt").write_bytes(text.encode())
    kind = {"davis": "DavisDataset", "folder": "FolderVideos"}[request.param]
    val, train = (f"dict(type={kind!r}, data_root='tree'" + (f", split={split!r})" if request.param == "davis" else ")")
                  for split in ("val", "train"))
    clips = f"dict(type='VideoClips', size=32, transforms=[dict(type='Resize', size=(32, 32))], videos={train})"
    (tmp_path / "all.py").write_text(
        f"{MODEL}{TRAINING}test_dataset = {val}\nval_dataset = {val}\n"
        f"train_dataloader = dict(batch_size=4, num_workers=0, dataset={clips})\nclip = dict(length=3, max_skip=1)\n")
    state = build_segmentor(str(tmp_path / "all.py"), seed=0).state_dict()
    save_checkpoint_file({"state_dict": state}, tmp_path / "tiny.pth")
    return request.param, places


def seen_by_training(monkeypatch):
    """Videos, their frames in order of time, and the ids of their first frames, of what clips are made of."""
    seen, original = {}, video_clips.VideoClips._attempt

    def attempt(self, video, frames, *rest):
        seen[video.name] = ([video.frame_name(index) for index in range(len(video))], video.ids_in(0))
        return original(self, video, frames, *rest)

    monkeypatch.setattr(video_clips.VideoClips, "_attempt", attempt)
    assert run_line("train all.py --work-dir run --device cpu --cfg-options train_cfg.max_iters=4") == 0
    return seen


def seen_by_test():
    """Of what a test wrote."""
    assert run_line("test all.py tiny.pth --device cpu --out out") == 0
    seen = {}
    for name in ORDERS:
        result = json.loads(Path(f"out/results/{name}.json").read_text())
        seen[name] = (result["frames"], sorted(map(int, result["objects"])))
    return seen


def seen_by_eval(kind, places):
    """Of what scoring wrote, masks being their own predictions."""
    root = "tree/Annotations/480p" if kind == "davis" else "masks"
    if kind == "folder":
        for name, (_, masks) in places.items():
            shutil.copytree(masks, f"masks/{name}")
    gt = "tree" if kind == "davis" else root
    assert run_line(f"eval_masks davis --gt {gt} --pred {root} --workers 1 --json s.json") == 0
    found = json.loads(Path("s.json").read_text())
    assert found["J-Mean"] == 1.0
    return {name: (entry["frames"], sorted(map(int, entry["objects"]))) for name, entry in found["sequences"].items()}


def seen_by_demo(places):
    """Of what demos wrote, one per video."""
    seen = {}
    for name, (images, masks) in places.items():
        assert run_line(f"demo all.py tiny.pth '{images}' --mask '{masks}' --skip-known-ids --device cpu "
                        f"--out 'd {name}.json'") == 0
        frames = json.loads(Path(f"d {name}.json").read_text())["frames"]
        seen[name] = ([frame["name"] for frame in frames], sorted(map(int, frames[0]["objects"])))
    return seen


def seen_by_check(kind, monkeypatch):
    """Of the pictures and masks that the check reads."""
    seen, image, mask = {}, Result.image, Result.mask

    def name_of(path):
        return path.parent.name if kind == "davis" else path.parent.parent.name

    def look(self, path, sizes=None):
        seen.setdefault(name_of(path), ([], []))[0].append(path.stem)
        return image(self, path, sizes)

    def look_at_mask(self, path, *args, **options):
        labels = mask(self, path, *args, **options)
        ids = seen[name_of(path)][1]
        if not ids:
            ids += sorted(set(np.unique(labels).tolist()) - {0, 255})
        return labels

    monkeypatch.setattr(Result, "image", look)
    monkeypatch.setattr(Result, "mask", look_at_mask)
    total = check_data.run_jobs(check_data.CHECKS[kind](Path("tree")), 1)
    assert (total.faults, total.warnings) == ([], [])
    return seen


def test_all_commands_see_the_same(tree, monkeypatch):
    kind, places = tree
    whole = {name: (frames, IDS[name]) for name, frames in ORDERS.items()}
    scored = {name: (frames[1:-1], IDS[name]) for name, frames in ORDERS.items()}
    assert seen_by_check(kind, monkeypatch) == whole
    assert seen_by_training(monkeypatch) == whole
    assert seen_by_test() == scored
    assert seen_by_eval(kind, places) == scored
    assert seen_by_demo(places) == whole
