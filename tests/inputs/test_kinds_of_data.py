"""Kinds of data sets, lists, results and checkpoints that users bring, and ends that are no exceptions.

Each kind has an input that was collected, where there is one, and others of its kind.
"""

import json

import numpy as np
import pytest
import torch

from tests.bad_inputs_helpers import CLIP, both, copied_world, make_world, run_line, terminate, text
from tests.inference.colour_segmentor import ColourSegmentor
from vosplug.engine import data
from vosplug.inference import IterableReader, VOSInferencer, new_session
from vosplug.utils.checkpoint import load_checkpoint_file
from vosplug.utils.errors import DataError, ModelError

from .cases import DEMO, Case, davis, expect, files, frames, masks, numbers, run_case

ORDER = "{given}/03_unpadded_names"
SCORE = "eval_masks davis --workers 1 --json s.json"
VIS = "eval_masks youtube_vis --gt vis.json --pred r.json --json s.json"
TRAIN = "train run.py --work-dir run --device cpu"
PLAIN = [f"{t + 8}.png" for t in range(4)]
PADDED = [f"{t + 8:05d}.png" for t in range(4)]
COPY = "test folder.py --baseline copy --json s.json"
LONG = {"long": 7, "short": 2}


def validating(kind, root):
    """A training that validates on a data set, before its only checkpoint."""
    def make(world):
        path = root if (world.folder / root).is_dir() else f"{world.given}/{root}"
        world.write("run.py", (world.folder / "run.py").read_text().replace(
            "train_cfg = dict(max_iters=6)", "train_cfg = dict(max_iters=6, val_interval=4)\n"
            f"val_dataset = dict(type={kind!r}, data_root={path!r})").replace("interval=2", "interval=6"))
    return make


def folder_set(root):
    """A config of a test on a folder of videos."""
    return lambda w: w.write("folder.py", (w.folder / "tiny.py").read_text()
                             + f"test_dataset = dict(type='FolderVideos', data_root={root!r})\n")


def late(start=2):
    """Masks in which the second object starts late."""
    count = iter(range(10**6))
    return lambda labels: labels if next(count) >= start else np.where(labels == 2, 0, labels).astype(np.uint8)


def gaps(labels):
    """Ids 1 and 100."""
    return np.where(labels == 2, 100, labels).astype(np.uint8)


def vis(change=lambda content: None, results=()):
    """An annotation file of YouTube-VIS with three tracks, and a file of results."""
    def make(world):
        size = [8, 10]
        code = {"size": size, "counts": [0, 20, 60]}
        tracks = [{"id": n, "video_id": 1, "category_id": n, "iscrowd": 0, "segmentations": [code, code],
                   "bboxes": [[0, 0, 2, 8]] * 2, "areas": [20, 20]} for n in (1, 2, 3)]
        content = {"videos": [{"id": 1, "width": 10, "height": 8, "length": 2, "file_names": ["a/0.jpg", "a/1.jpg"]}],
                   "categories": [{"id": n, "name": f"c{n}"} for n in (1, 2, 3)], "annotations": tracks}
        change(content)
        found = [{"video_id": 1, "category_id": n, "score": 0.5, "segmentations": [code, code]} for n in results]
        world.write("vis.json", json.dumps(content))
        world.write("r.json", json.dumps(found))
    return make


def crowds(value):
    return lambda content: [annotation.update(iscrowd=value) for annotation in content["annotations"]]


def weights(change):
    """A checkpoint in which the weights are changed."""
    def make(world):
        state = load_checkpoint_file(world.folder / "tiny.pth")["state_dict"]
        torch.save(change(state), world.folder / "tiny.pth")
    return make


def with_nan(state):
    state["net.4.bias"][:] = float("nan")
    return {"state_dict": state}


def with_infinity(state):
    state["net.0.bias"][:2] = torch.tensor([float("inf"), float("-inf")])
    return {"state_dict": state}


def prefixed(prefix):
    return weights(lambda state: {"state_dict": {f"{prefix}{name}": value for name, value in state.items()}})


def full_memory(world):
    """No room in shared memory."""
    def fail(value):
        raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)")
    world.monkeypatch.setattr(data, "share", fail)


def same_scores(line):
    """Another command whose numbers have to be the same, and not those of perfect masks."""
    def check(world):
        assert run_line(line.format(given=world.given)) == 0
        first, other = numbers("s.json")(world), numbers("o.json")(world)
        assert other["J&F-Mean"] == first["J&F-Mean"] and 0 < first["J&F-Mean"] < 1
    return check


def existing(official, of_existing):
    """The official number, and the one beside it."""
    def check(world):
        found = numbers("s.json")(world)
        assert abs(found["J&F-Mean"] - official) < 6e-4 and abs(found["existing J&F-Mean"] - of_existing) < 6e-3
    return check


def sequences(*names):
    """The sequences that were scored."""
    return lambda world: [numbers("s.json")(world)["sequences"].keys() == set(names) or pytest.fail(str(names))]


def objects(name, *ids):
    """The objects of a frame in an output of run lengths."""
    def check(world):
        frame = next(frame for frame in numbers("o.json")(world)["frames"] if frame["name"] == name)
        assert set(map(int, frame["objects"])) >= set(ids)
    return check


def unpadded(world):
    """YouTube-VOS whose frames are called 0, 5, 10, 15."""
    root = world.folder / "youtube/valid"
    for path in sorted(root.glob("*/*/000*")):
        path.rename(path.with_name(f"{int(path.stem)}{path.suffix}"))
    content = json.loads((root / "meta.json").read_text())
    for video in content["videos"].values():
        for entry in video["objects"].values():
            entry["frames"] = [str(int(frame)) for frame in entry["frames"]]
    (root / "meta.json").write_text(json.dumps(content))


def no_checkpoint(world):
    """Training has not begun."""
    assert not list((world.folder / "run").glob("*.pth"))


def renumbered(folder, first, count=4):
    """Masks that are numbered from ``first``."""
    return masks(folder, [f"{t + first:05d}.png" for t in range(count)])


def listed(root, *lines):
    return text(f"{root}/ImageSets/2017/val.txt", "\n".join(lines) + "\n")


PAIRS = [f"/JPEGImages/480p/car 1/{t:05d}.jpg /Annotations/480p/car 1/{t:05d}.png" for t in range(4)]
TWO_CARS = davis("d", {"car 1": 4, "bus": 4})
OF_TREE = f"{SCORE} --gt d --pred d/Annotations/480p"

KINDS = [
    Case("F3 order", "frames-of-a-folder", COPY + f" --data-root {ORDER}/unpadded", make=folder_set("v"),
         check=same_scores(f"test folder.py --baseline copy --json o.json --data-root {ORDER}/padded")),
    Case("F3 order", "masks-to-score", f"{SCORE} --gt {ORDER}/late_un_gt --pred {ORDER}/late_un_pr",
         check=same_scores(f"eval_masks davis --workers 1 --json o.json --gt {ORDER}/late_pad_gt --pred "
                           f"{ORDER}/late_pad_pr")),
    Case("F3 order", "davis", "test tiny.py --baseline copy --json s.json --data-root d", make=both(
        *(both(frames(f"{root}/JPEGImages/480p/a", [n.replace("png", "jpg") for n in names]),
               masks(f"{root}/Annotations/480p/a", names), listed(root, "a"))
          for root, names in (("d", PLAIN), ("e", PADDED)))),
        check=same_scores("test tiny.py --baseline copy --json o.json --data-root e")),
    Case("F3 order", "youtube-vos", "test --baseline copy --eval youtube_vos --data-root youtube --out o",
         make=unpadded, check=files("o/early", "0.png", "5.png", "10.png", "15.png")),
    Case("F3 order", "check", "check_data youtube --type youtube_vos", ("clean",), make=unpadded),
    Case("F7 validation", "short-video", TRAIN, ("video short has only 2 frames", "it is not scored"),
         make=validating("DavisDataset", "07_validation/short_video"), check=files("run", "iter_6.pth", "best.pth"),
         collected=True),
    Case("F7 validation", "late-object", TRAIN, make=validating("FolderVideos", "07_validation/late_object"),
         check=files("run", "iter_6.pth", "best.pth"), collected=True),
    Case("F7 validation", "only-short-videos", TRAIN, ("no video can be scored: short has only 2 frames",), 2,
         both(davis("d", {"short": 2}), validating("DavisDataset", "d")), no_checkpoint),
    Case("F7 validation", "test-scores-the-others", "test tiny.py --baseline copy --json s.json --data-root d --out o",
         ("video short has only 2 frames",), make=davis("d", LONG), check=files("o/short", count=2)),
    Case("F7 validation", "late-objects-are-scored", COPY, make=both(
        frames("v/a"), masks("v/a/masks", change=late()), folder_set("v")),
        check=lambda world: numbers("s.json")(world)["J&F-Mean"] < 1 or pytest.fail("nothing moved")),
    Case("F7 validation", "check", "check_data d --type davis", ("480p/short", "cannot be scored"),
         make=davis("d", LONG)),
    Case("F8 shared memory", "full", TRAIN + " --cfg-options train_dataloader.num_workers=1",
         ("/dev/shm", "--shm-size", "num_workers=0"), 2, full_memory),
    Case("F10 gaps", "given", "test --baseline copy --eval davis --json s.json --data-root {given}/10_ids_1_and_100",
         ("has no object 2..99", "existing objects"), check=existing(0.993, 0.63)),
    Case("F10 gaps", "eval", OF_TREE, ("has no object 2..99", "existing objects"), make=davis("d", {"a": 4}, gaps)),
    Case("F10 gaps", "check", "check_data d --type davis", ("no pixel has 2..99", "1 warning"),
         make=davis("d", {"a": 4}, gaps)),
    Case("F12 not finite", "weight", f"{DEMO} images --mask first.png --out o", ("net.4.bias", "not finite"), 2,
         weights(with_nan)),
    Case("F12 not finite", "in-a-test", "test tiny.py tiny.pth --device cpu --out o", ("not finite",), 2,
         weights(with_nan)),
    Case("F12 not finite", "infinite", f"{DEMO} images --mask first.png --out o", ("frame 1", "not finite"), 2,
         weights(with_infinity), files("o", count=1)),
    Case("F15 upper case", "given", DEMO + " {given}/12_mask_folder_upper_case/frames --mask "
         "{given}/12_mask_folder_upper_case/masks --skip-known-ids --out o.json", check=objects("IMG_8", 1)),
    Case("F15 upper case", "all", f"{DEMO} images --mask m --out o", make=masks("m", ["00000.PNG"])),
    Case("F15 upper case", "folders", "check_data v --type folder", ("clean",), make=both(
        frames("v/a/Images", ["0.JPG", "1.JPG", "2.JPG", "10.JPG"]), masks("v/a", ["MASK.PNG"]))),
    Case("F15 upper case", "another-format", f"{DEMO} images --mask m --out o", ("m/00002.bmp: masks have to be PNG",),
         2, both(masks("m", ["00000.png"]), frames("m", ["00002.bmp"]))),
    Case("F16 lists", "given", SCORE + " --gt {given}/16_list_with_space/gt --pred {given}/16_list_with_space/pred",
         check=sequences("car 1")),
    Case("F16 lists", "pairs-of-paths", OF_TREE, make=both(TWO_CARS, listed("d", *PAIRS)), check=sequences("car 1")),
    Case("F16 lists", "mark-and-comment", OF_TREE, make=both(TWO_CARS, listed("d", "\ufeffcar 1 ", "# bus", "")),
         check=sequences("car 1")),
    Case("F16 lists", "utf-16", OF_TREE, check=sequences("car 1"), make=both(
        TWO_CARS, lambda w: w.write("d/ImageSets/2017/val.txt", "car 1\r\n".encode("utf-16")))),
    Case("F16 lists", "twice", OF_TREE, ("lists bus twice",), 2, both(TWO_CARS, listed("d", "bus", "car 1", "bus"))),
    Case("F16 lists", "case", OF_TREE, ("upper and lower case only",), 2, both(TWO_CARS, listed("d", "bus", "Bus"))),
    Case("F17 numbering", "from-1", f"{SCORE} --gt d/Annotations/480p --pred p", ("00004.png", "from 1"), 2,
         both(davis("d", {"a": 4}), renumbered("p/a", 1))),
    Case("F17 numbering", "more-than-the-references", f"{SCORE} --gt d/Annotations/480p --pred p",
         ("1 predictions belong to no frame",), make=both(davis("d", {"a": 4}), renumbered("p/a", 0, 5))),
    Case("F18 SIGTERM", "while-it-reads", f"{DEMO} clip.mp4 --mask first.png --out o.mp4 --out o.json --out o",
         ("terminated",), 143, terminate("vosplug.inference.video_writer", "OverlayVideoWriter.add", call=3),
         files("o", "00000.png", "00001.png", count=2)),
    Case("F18 SIGTERM", "while-it-scores", SCORE + " --gt davis --pred pred", ("terminated",), 143,
         terminate("vosplug.evaluation.davis_folders", "DavisJob.score", call=2)),
    Case("F23 iscrowd", "texts", VIS, ("annotation 1: iscrowd must be 0 or 1, got '0'",), 2, vis(crowds("0"))),
    Case("F23 iscrowd", "lists", VIS, ("iscrowd must be 0 or 1, got [0]",), 2, vis(crowds([0]))),
    Case("F23 iscrowd", "nothing", VIS, ("iscrowd must be 0 or 1, got None",), 2, vis(crowds(None))),
    Case("F23 iscrowd", "truth", VIS, (), 0, vis(crowds(False), results=(1, 2, 3)), expect("s.json", AP=1.0)),
    Case("F24 nothing found", "eval", VIS, (), 0, vis(), expect("s.json", AP=0.0, AR100=0.0)),
    Case("F24 nothing found", "by-category", f"{VIS} --per-category", ("c1", "0.000"), 0, vis()),
    *(Case("wrappers", name, f"{DEMO} images --mask first.png --out o", (), 0, prefixed(prefix), files("o", count=4))
      for name, prefix in (("several-devices", "module."), ("compiled", "_orig_mod."), ("framework", "model."),
                           ("both", "module._orig_mod."))),
    Case("wrappers", "under-a-key", f"{DEMO} images --mask first.png --out o", make=weights(
        lambda state: {"model": state, "epoch": 3}), check=files("o", count=4)),
]


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    path = tmp_path_factory.mktemp("inputs") / "world"
    path.mkdir()
    return make_world(path)


@pytest.fixture
def world(template, tmp_path, monkeypatch):
    yield from copied_world(template, tmp_path, monkeypatch)


@pytest.mark.parametrize("case", [pytest.param(case, marks=[pytest.mark.shared] if case.given else [], id=str(case))
                                  for case in KINDS])
def test_input(case, world, capfd, request):
    run_case(case, world, capfd, request.getfixturevalue("shared") if case.given else None)


@pytest.mark.parametrize("wrap", [torch.nn.DataParallel, torch.compile])
def test_wrapped_models_segment_as_they_are(wrap):
    model = ColourSegmentor()
    pictures = [image for image, _ in CLIP]
    results = [list(VOSInferencer(one).stream(pictures, CLIP[0][1])) for one in (model, wrap(model))]
    for (_, ours), (_, theirs) in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, theirs)


class Detour(ColourSegmentor):
    """As the other one, in the type of its weights, by numbers ``factor`` times as large."""

    factor = 1.0

    def decode_coarse(self, state, features, rows):
        logits = super().decode_coarse(state, features, rows).to(self.sharpness)
        return logits * (self.factor + 1) - logits * self.factor


def test_half_precision_that_is_too_small_is_told(monkeypatch):
    for ours, theirs in zip(all_labels(Detour()), all_labels(Detour().half()), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    monkeypatch.setattr(Detour, "factor", 1e5)
    assert all(labels.any() for labels in all_labels(Detour()))
    with pytest.raises(ModelError, match="frame 1: .*not finite"):
        all_labels(Detour().half())


def all_labels(model):
    """Labels of all frames of the clip."""
    session = new_session(model)
    return [session.step(image, labels if not t else None) for t, (image, labels) in enumerate(CLIP)]


def test_equal_names_of_frames_are_refused():
    pictures = [("a", CLIP[0][0]), ("b", CLIP[1][0]), ("A", CLIP[2][0])]
    reader, seen = IterableReader(pictures), []
    with pytest.raises(DataError, match="frame 2: the name 'A'"):
        seen.extend(frame.name for frame in reader)
    assert seen == ["a", "b"]
