"""Files are written whole or not at all."""

import os
import stat
from pathlib import Path

import pytest

from vosplug.utils.errors import DataError, OutputError
from vosplug.utils.files import (
    atomic_write,
    check_target,
    read_json,
    write_json,
    write_json_rows,
    write_text,
    write_via,
)


def test_a_failure_keeps_the_old_file_and_leaves_nothing_behind(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(ValueError, match="half way"), atomic_write(path) as stream:
        stream.write(b"new")
        raise ValueError("half way")
    with pytest.raises(OutputError, match="the encoder refused it"):
        write_via(path, lambda name: False)
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]


def test_folders_are_made_and_the_permissions_are_usual(tmp_path):
    path = tmp_path / "new" / "folder" / "a.txt"
    write_text(path, "ä")
    plain = tmp_path / "plain"
    plain.touch()
    assert path.read_bytes() == "ä".encode()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    write_via(tmp_path / "via.txt", lambda name: Path(name).write_text(Path(name).suffix))
    assert (tmp_path / "via.txt").read_text() == ".txt"


def test_json_comes_back_and_nan_is_refused(tmp_path):
    value = {"a": [1, 2.5, None], "b": "ö"}
    write_json(tmp_path / "v.json", value)
    write_json_rows(tmp_path / "r.json", value, [value, value])
    assert read_json(tmp_path / "v.json") == value
    assert read_json(tmp_path / "r.json") == {**value, "rows": [value, value]}
    assert len((tmp_path / "r.json").read_text().splitlines()) == 8  # one entry and one row per line
    for write in (write_json, lambda path, rows: write_json_rows(path, {}, rows)):
        with pytest.raises(ValueError, match="JSON"):
            write(tmp_path / "v.json", [float("nan")])
    assert read_json(tmp_path / "v.json") == value
    write_json_rows(tmp_path / "none.json", {}, [])
    assert read_json(tmp_path / "none.json") == {"rows": []}
    (tmp_path / "bad.json").write_text("{")
    for name in ("bad.json", "missing.json"):
        with pytest.raises(DataError, match=name):
            read_json(tmp_path / name)


def test_targets_are_checked_before_the_work(tmp_path):
    (tmp_path / "file").touch()
    check_target(None)
    check_target(tmp_path / "new" / "a.json")
    for path, message in ((tmp_path, "it is a folder"), (tmp_path / "file" / "a.json", "is not a folder")):
        with pytest.raises(OutputError, match=message):
            check_target(path)
