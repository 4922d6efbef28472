"""The command make_synthetic."""

import subprocess
import sys

import pytest

from vosplug.cli.make_synthetic import main, parse_options, validation_count
from vosplug.utils.errors import ConfigError, InputError

SMALL = ["--size", "32", "48", "--frames", "2", "--options", "textures=8"]


def test_it_writes_all_layouts_and_a_table(tmp_path, capsys):
    assert main([str(tmp_path / "out"), "--videos", "3", *SMALL]) == 0
    text = capsys.readouterr().out
    assert "YouTube-VOS" in text and "DAVIS" in text and "val" in text
    assert (tmp_path / "out/davis/ImageSets/2017/val.txt").read_text().split() == ["synthetic-0002"]
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"davis", "youtube_vos", "youtube_vis", "synthetic.json"}


def test_the_script_runs_from_a_clone(root, tmp_path):
    line = [sys.executable, str(root / "tools/make_synthetic.py"), str(tmp_path / "out"), "--videos", "1", *SMALL]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/youtube_vis/train.json").is_file()


@pytest.mark.parametrize("extra", [["--val", "9"], ["--split-val", "2"], ["--seed", "-1"], ["--options", "moton=2"],
                                   ["--options", "motion"], ["--size", "8", "8"], ["--options", "objects=3"]])
def test_bad_input_is_one_line(tmp_path, capsys, extra):
    assert main([str(tmp_path / "out"), "--videos", "1", "--frames", "1", *extra]) == 2
    message = capsys.readouterr().err.strip()
    assert message.startswith("error: ") and "\n" not in message
    assert not (tmp_path / "out").exists()


def test_a_foreign_folder_is_refused(tmp_path, capsys):
    (tmp_path / "file.txt").write_text("x")
    assert main([str(tmp_path), "--videos", "1", *SMALL]) == 2
    assert "--overwrite" in capsys.readouterr().err
    (tmp_path / "a_file").write_text("x")
    assert main([str(tmp_path / "a_file"), "--videos", "1", *SMALL]) == 2


def test_split():
    assert validation_count(12, None, None) == 4 and validation_count(1, None, None) == 0
    assert validation_count(2, None, None) == 1
    assert validation_count(10, 3, None) == 3 and validation_count(10, None, 0.25) == 2
    with pytest.raises(InputError):
        validation_count(3, 4, None)


def test_options_are_literals_lists_or_words():
    assert parse_options(["motion=2", "objects=2,4", "classes=ring,star"]) == {
        "motion": 2, "objects": (2, 4), "classes": ("ring", "star")}
    with pytest.raises(ConfigError):
        parse_options(["motion"])
