"""The report of what is installed and missing."""

import json
import subprocess
import sys

import pytest

from vosplug import __version__, env


@pytest.fixture
def without(monkeypatch):
    """Make some modules look as if they were not installed."""

    def hide(*names):
        find_spec, import_module = env.util.find_spec, env.importlib.import_module

        def fake_spec(name, *args):
            return None if name.split(".")[0] in names else find_spec(name, *args)

        def fake_import(name, *args):
            if name.split(".")[0] in names:
                raise ModuleNotFoundError(f"No module named {name!r}")
            return import_module(name, *args)

        monkeypatch.setattr(env.util, "find_spec", fake_spec)
        monkeypatch.setattr(env.importlib, "import_module", fake_import)

    return hide


def test_every_runtime_requirement_is_reported(root):
    lines = (root / "requirements" / "runtime.txt").read_text().splitlines()
    names = {line.split("#")[0].split(">")[0].strip().lower() for line in lines} - {""}
    reported = {name for part in env.PARTS if part.required for name in part.distributions}
    assert names <= reported


def test_everything_required_is_installed_here():
    found = env.collect()
    assert found["vosplug"] == __version__
    assert [item for item in found["missing"] if item["required"]] == []
    assert all(found["packages"][part.module]["version"] for part in env.PARTS if part.required)
    assert found["torch"]["threads"] >= 1


def test_the_command_prints_a_table_and_json(capsys):
    assert env.main([]) == 0
    assert "torch  " in capsys.readouterr().out
    assert env.main(["--json"]) == 0
    assert json.loads(capsys.readouterr().out)["python"].startswith("3.")


def test_what_is_missing_comes_with_a_command(without, capsys):
    without("mmcv", "mmdet", "scipy")
    assert env.main([]) == 0
    required, optional = capsys.readouterr().out.split("missing, and required:")[1].split("missing, and optional:")
    assert "scipy: not installed" in required
    assert "pip install scipy" in required
    assert "pip install --no-build-isolation onedl-mmcv" in optional
    assert "pip install onedl-mmdetection" in optional


def test_a_package_that_does_not_import_is_named(monkeypatch):
    def broken(name):
        raise ImportError("libGL.so.1: cannot open shared object file\nmore")

    monkeypatch.setattr(env.importlib, "import_module", broken)
    state = env.inspect_part(next(part for part in env.PARTS if part.module == "cv2"))
    assert state["problem"] == "cannot be imported: ImportError: libGL.so.1: cannot open shared object file"


def test_rival_distributions_are_a_conflict(monkeypatch):
    versions = {"onedl-mmcv": "2.3.6", "mmcv": "2.1.0", "opencv-python": "4.12", "opencv-python-headless": "4.13"}
    monkeypatch.setattr(env, "distribution_version", versions.get)
    conflicts = env._conflicts()
    assert [item["problem"].split()[0] for item in conflicts] == ["onedl-mmcv", "opencv-python-headless"]
    assert conflicts[0]["fix"] == "pip uninstall -y mmcv onedl-mmcv && pip install --no-build-isolation onedl-mmcv"


def test_the_report_needs_nothing_but_the_standard_library(root):
    code = ("import sys\n"
            "class Nothing:\n"
            "    def find_spec(self, name, path=None, target=None):\n"
            "        if name.split('.')[0] in ('torch', 'numpy', 'mmengine', 'cv2', 'rich', 'PIL', 'scipy'):\n"
            "            raise ModuleNotFoundError(name)\n"
            "sys.meta_path.insert(0, Nothing())\n"
            "from importlib import util\n"
            "real = util.find_spec\n"
            "def find_spec(name, *rest):\n"
            "    try:\n"
            "        return real(name, *rest)\n"
            "    except ModuleNotFoundError:\n"
            "        return None\n"
            "util.find_spec = find_spec\n"
            "from vosplug.env import main\n"
            "raise SystemExit(main(['--json']))\n")
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["torch"] is None
    assert {item["name"] for item in found["missing"] if item["required"]} >= {"torch", "numpy", "mmengine", "cv2"}
