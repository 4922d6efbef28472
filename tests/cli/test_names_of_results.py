"""Trees whose names lead out of the folder of results: every command refuses them in one line and writes nothing."""

import json
import shutil
from pathlib import Path

import pytest

from tests.datasets.trees import davis_tree, folder_tree, vis_tree, write_vis, youtube_tree
from vosplug.cli import check_data, eval_masks
from vosplug.cli.test import main
from vosplug.evaluation.submission import validate_submission, write_davis_submission
from vosplug.inference import IterableReader
from vosplug.registry import DATASETS
from vosplug.structures import Video
from vosplug.utils.errors import DataError

CONFIG = "test_dataset = dict(type='FolderVideos', data_root={!r})\n"


def davis_list(root: Path, line: str) -> Path:
    davis_tree(root)
    (root / "ImageSets/2017/val.txt").write_text(f"{line}\n")
    for folder in ("JPEGImages", "Annotations"):  # a video that is really there, where the line leads
        for path in (root / folder / "480p/gamma").iterdir():
            shutil.copy(path, root / folder / path.name)
    return root


def davis_parent(root: Path) -> Path:
    return davis_list(root, "..")


def davis_pairs(root: Path) -> Path:
    return davis_list(root, "../00000.jpg ../00000.png")


def youtube_key(root: Path) -> Path:
    youtube_tree(root)
    meta = json.loads((root / "valid/meta.json").read_text())
    meta["videos"]["../../outside"] = meta["videos"]["v1"]
    (root / "valid/meta.json").write_text(json.dumps(meta))
    for folder in ("JPEGImages", "Annotations"):
        shutil.copytree(root / "valid" / folder / "v1", root / "outside", dirs_exist_ok=True)
    return root


def youtube_frame(root: Path) -> Path:
    youtube_tree(root)
    meta = json.loads((root / "valid/meta.json").read_text())
    meta["videos"]["v1"]["objects"]["1"]["frames"][0] = "../v1/00000"
    (root / "valid/meta.json").write_text(json.dumps(meta))
    return root


def folder_control(root: Path) -> Path:
    folder_tree(root)
    (root / "two").rename(root / "two\nlines")
    return root


def folder_slash(root: Path) -> Path:
    folder_tree(root)
    (root / "two").rename(root / "two\\..\\x")
    return root


def vis_picture(root: Path) -> Path:
    content = vis_tree(root)
    content["videos"][0]["file_names"][1] = "../../secret.jpg"
    write_vis(root, content)
    return root


TREES = {
    "davis": [davis_parent, davis_pairs],
    "youtube_vos": [youtube_key, youtube_frame],
    "folder": [folder_control, folder_slash],
    "youtube_vis": [vis_picture],
}
CASES = [pytest.param(kind, make, id=make.__name__) for kind, makes in TREES.items() for make in makes]
TYPES = {"davis": "DavisDataset", "youtube_vos": "YouTubeVOSDataset", "folder": "FolderVideos",
         "youtube_vis": "YouTubeVISDataset"}


def listing(folder: Path) -> dict[str, int]:
    """Every path below ``folder`` and when it was last written."""
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*")}


def one_line(capsys) -> str:
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), said.err
    return lines[0]


@pytest.mark.parametrize(("kind", "make"), CASES)
def test_the_data_set_refuses(tmp_path, kind, make):
    with pytest.raises(DataError, match="one plain part of a path"):
        DATASETS.build({"type": TYPES[kind], "data_root": str(make(tmp_path))})


@pytest.mark.parametrize(("kind", "make"), [case for case in CASES if case.values[0] != "youtube_vis"])
def test_segmenting_refuses_before_anything_is_written(tmp_path, monkeypatch, capsys, kind, make):
    """The attack: ``--out runs/out`` wrote beside ``runs``, over files that were there."""
    root = make(tmp_path / "a/b/data")
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "folder.py"
    config.write_text(CONFIG.format(str(root)))
    which = [str(config)] if kind == "folder" else ["--eval", kind, "--data-root", str(root)]
    before = listing(tmp_path)
    status = main(["--baseline", "copy", *which, "--out", "runs/out", "--show-dir", "runs/show", "--json", "r.json"])
    assert status == 2 and "one plain part of a path" in one_line(capsys)
    assert listing(tmp_path) == before


@pytest.mark.parametrize(("kind", "make"), CASES)
def test_the_check_of_a_tree_names_the_fault(tmp_path, capsys, kind, make):
    assert check_data.main([str(make(tmp_path)), "--type", kind]) == 1
    said = capsys.readouterr().out
    assert "one plain part of a path" in said and " fault" in said and "\x1b" not in said


@pytest.mark.parametrize(("kind", "make"), [("davis", davis_parent), ("youtube_vos", youtube_key)])
def test_scoring_refuses(tmp_path, capsys, kind, make):
    root = make(tmp_path / "data")
    pred, gt = tmp_path / "pred", root if kind == "davis" else root / "valid"
    pred.mkdir()
    before = listing(tmp_path)
    assert eval_masks.main([kind, "--gt", str(gt), "--pred", str(pred), "--json", str(tmp_path / "r.json")]) == 2
    assert "one plain part of a path" in one_line(capsys)
    assert listing(tmp_path) == before


def test_submissions_refuse(tmp_path):
    """Videos that were described in Python are looked at as well."""
    root = davis_tree(tmp_path / "data")
    (video,) = DATASETS.build({"type": "DavisDataset", "data_root": str(root)}).videos()
    evil = Video(**{**video.__dict__, "name": "../evil"})
    with pytest.raises(DataError, match="one plain part of a path"):
        write_davis_submission(root / "Annotations/480p", [evil], tmp_path / "out.zip")
    assert not (tmp_path / "out.zip").exists()
    write_davis_submission(root / "Annotations/480p", [video], tmp_path / "out.zip")
    assert "one plain part of a path" in validate_submission(tmp_path / "out.zip", [evil], "davis")[0]


def test_frames_refuse():
    """A reader of frames from Python takes any text as name."""
    picture = [[[0, 0, 0]]]
    assert [frame.name for frame in IterableReader([("a", picture), picture])] == ["a", "00001"]
    with pytest.raises(DataError, match="frame 1: the name '../b' has a"):
        list(IterableReader([("a", picture), ("../b", picture)]))
