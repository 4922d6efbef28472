"""Submissions: what is written passes the check, and the check finds every kind of fault."""

import re
import zipfile

import cv2
import numpy as np
import pytest

from vosplug.evaluation.submission import validate_submission, write_davis_submission, write_youtube_vos_submission
from vosplug.structures import Video
from vosplug.utils.errors import DataError, InputError
from vosplug.utils.masks import encode_mask, read_mask, write_mask

from . import tiny


@pytest.fixture
def case(tmp_path):
    root = tiny.davis_root(tmp_path / "gt", {"bear": 3, "ant": 2})
    return tiny.videos(root), tiny.predict(root, tmp_path / "pred"), tmp_path / "out.zip"


def rewrite(path, change):
    """Write the zip anew with ``change(dict name -> bytes)``."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def test_davis_layout(case):
    videos, pred, out = case
    write_davis_submission(pred, videos, out)
    with zipfile.ZipFile(out) as archive:
        assert sorted(archive.namelist()) == ["ant/00000.png", "ant/00001.png", "bear/00000.png", "bear/00001.png",
                                              "bear/00002.png"]
        assert archive.read("bear/00001.png") == (pred / "bear/00001.png").read_bytes()
    assert validate_submission(out, videos, "davis") == []
    first = out.read_bytes()
    write_davis_submission(pred, videos, out)
    assert out.read_bytes() == first


def test_youtube_vos_layout_has_the_required_frames_only(case):
    videos, pred, out = case
    videos = [Video(**{**video.__dict__, "output_frames": [1]}) for video in videos]
    write_youtube_vos_submission(pred, videos, out)
    with zipfile.ZipFile(out) as archive:
        assert sorted(archive.namelist()) == ["Annotations/ant/00001.png", "Annotations/bear/00001.png"]
    assert validate_submission(out, videos, "youtube_vos") == []
    assert "ant/00001.png: missing" in validate_submission(out, videos, "davis")


def test_grey_masks_are_written_with_a_palette(case):
    videos, pred, out = case
    labels = read_mask(pred / "bear/00001.png")
    cv2.imwrite(str(pred / "bear/00001.png"), labels)
    write_davis_submission(pred, videos, out)
    with zipfile.ZipFile(out) as archive:
        assert archive.read("bear/00001.png") == encode_mask(labels)


@pytest.mark.parametrize(("change", "message"), [
    (lambda files: files.pop("bear/00001.png"), "bear/00001.png: missing"),
    (lambda files: files.update({"bear/00009.png": files["bear/00001.png"]}),
     "bear/00009.png: does not belong there; Did you mean 'bear/000"),
    (lambda files: files.update({"zzz.txt": b"x"}), "zzz.txt: does not belong there; no frame"),
    (lambda files: files.update({"ant/00001.png": encode_mask(np.zeros((48, 36), np.uint8))}),
     "ant/00001.png: 36x48, but the pictures are 48x36"),
    (lambda files: files.update({"ant/00001.png": encode_mask(np.full((36, 48), 3, np.uint8))}),
     r"ant/00001.png: id 3 is not an object of ant \(ids 1, 2\)"),
    (lambda files: files.update({"ant/00001.png": cv2.imencode(".png", np.zeros((36, 48), np.uint8))[1].tobytes()}),
     r"ant/00001.png: not an 8-bit index PNG"),
    (lambda files: files.update({"ant/00001.png": files["ant/00001.png"][:-40]}),
     r"ant/00001.png: not a readable image"),
])
def test_faults_are_found(case, change, message):
    videos, pred, out = case
    write_davis_submission(pred, videos, out)
    rewrite(out, change)
    faults = validate_submission(out, videos, "davis")
    assert len(faults) == 1
    assert re.match(message, faults[0]), faults[0]


def test_files_that_are_no_zip_and_unknown_kinds(case):
    videos, _, out = case
    assert validate_submission(out, videos, "davis") == [f"submission not found: {out}"]
    out.write_bytes(b"no zip")
    assert "not a readable zip file" in validate_submission(out, videos, "davis")[0]
    with pytest.raises(InputError, match="Did you mean 'davis'"):
        validate_submission(out, videos, "daviss")


def test_nothing_is_written_on_a_fault(case):
    videos, pred, out = case
    write_mask(pred / "bear/00002.png", np.full(tiny.SIZE, 7, np.uint8))
    with pytest.raises(DataError, match=r"bear/00002.png: id 7 is not an object of bear .*; nothing was written"):
        write_davis_submission(pred, videos, out)
    (pred / "bear/00000.png").unlink()
    with pytest.raises(DataError, match="mask not found"):
        write_davis_submission(pred, videos, out)
    with pytest.raises(DataError, match="folder of the predictions not found"):
        write_youtube_vos_submission(pred / "nothing", videos, out)
    assert not out.exists() and sorted(p.name for p in out.parent.iterdir()) == ["gt", "pred"]
