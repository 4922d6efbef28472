import json
import subprocess
import sys

import numpy as np
import pytest

from vosplug.cli.check_data import main
from vosplug.utils.images import write_image
from vosplug.utils.masks import write_mask


@pytest.fixture
def video(tmp_path):
    """A folder with one clean video."""
    for index in range(3):
        write_image(tmp_path / f"v/images/{index:05d}.jpg", np.full((20, 30, 3), 90, np.uint8))
    write_mask(tmp_path / "v/masks/00000.png", np.ones((20, 30), np.uint8))
    return tmp_path


def test_clean(video, capsys):
    assert main([str(video), "--type", "folder"]) == 0
    assert "clean" in capsys.readouterr().out


def test_each_fault_is_a_line_and_the_status_is_1(video, tmp_path, capsys):
    write_mask(video / "v/masks/00001.png", np.ones((20, 29), np.uint8))
    (video / "v/images/00002.jpg").write_bytes(b"")
    report = tmp_path / "report.json"
    assert main([str(video), "--type", "folder", "--json", str(report)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert sum("29 x 20" in line for line in lines) == 1
    assert sum("00002.jpg: not a readable image" in line for line in lines) == 1
    content = json.loads(report.read_text())
    assert len(content["faults"]) == 2
    assert content["counts"] == {"images": 3, "masks": 2, "videos": 1}


@pytest.mark.parametrize("arguments", [["--type", "folder", "--split", "val"], ["--type", "davis", "--layout", "BIG"]])
def test_options_without_meaning_are_refused(video, capsys, arguments):
    assert main([str(video), *arguments]) == 2
    assert "has no meaning" in capsys.readouterr().err


def test_a_missing_folder(video, capsys):
    assert main([str(video / "w"), "--type", "folder"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: folder not found") and error.count("\n") == 1


def test_unknown_type(video):
    with pytest.raises(SystemExit) as caught:
        main([str(video), "--type", "davids"])
    assert caught.value.code == 2


def test_the_script_runs_from_a_clone(video, root):
    result = subprocess.run([sys.executable, str(root / "tools/check_data.py"), str(video), "--type", "folder"],
                            capture_output=True, text=True, cwd=video, check=False)
    assert result.returncode == 0, result.stderr
    assert "clean" in result.stdout
