"""The package as it is built and installed, and the files around it."""

import email
import os
import re
import shutil
import subprocess
import sys
from configparser import ConfigParser

import pytest

import vosplug
from vosplug.utils.configs import list_configs
from vosplug.weights import VOS

COMMANDS = ("train", "test", "demo", "eval_masks", "convert_checkpoint", "parity", "model_stats", "benchmark",
            "benchmark_ops", "make_synthetic", "check_data", "list_plugins", "plot_memory", "run_demo")


def run(*command, cwd=None, env=None):
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def copy(root, tmp_path_factory):
    """A copy of the sources, as building writes beside them."""
    target = tmp_path_factory.mktemp("sources") / "vosplug"
    target.mkdir()
    for name in ("vosplug", "configs", "ops", "requirements", "tools"):
        if (root / name).is_dir():
            shutil.copytree(root / name, target / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    for path in root.iterdir():
        if path.is_file() and not path.name.startswith("."):
            shutil.copy(path, target)
    return target


@pytest.fixture(scope="module")
def metadata(copy):
    """Metadata of the wheel and its entry points."""
    folder = copy.parent / "metadata"
    folder.mkdir()
    code = ("from setuptools import build_meta\n"
            f"print(build_meta.prepare_metadata_for_build_wheel({str(folder)!r}))")
    name = run(sys.executable, "-c", code, cwd=copy).splitlines()[-1]
    points = ConfigParser()
    points.read(folder / name / "entry_points.txt")
    return email.message_from_string((folder / name / "METADATA").read_text()), dict(points["console_scripts"])


def test_metadata(metadata):
    message, _ = metadata
    assert (message["Name"], message["Version"]) == ("vosplug", vosplug.__version__)
    assert message["License"] == "Apache-2.0" or message["License-Expression"] == "Apache-2.0"
    assert message["Requires-Python"] == ">=3.10"
    needed = [line for line in message.get_all("Requires-Dist") if "extra ==" not in line]
    names = {re.match(r"[\w-]+", line).group() for line in needed}
    assert {"torch", "numpy", "onedl-mmengine", "pycocotools", "rich"} <= names
    assert not any("mmcv" in line or "mmdet" in line for line in needed)
    assert set(message.get_all("Provides-Extra")) == {"mm", "tests", "optional", "pretrained"}


def test_there_is_one_console_script(metadata):
    assert metadata[1] == {"vosplug": "vosplug.cli.main:main"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_a_tool(root, name):
    script = (root / "tools" / f"{name}.py").read_text()
    assert f'run("{name}")' in script and (root / "vosplug" / "cli" / f"{name}.py").is_file()
    assert len(script.splitlines()) < 8, "tools are thin: logic belongs to the package"


def test_every_module_imports_without_mmcv_and_mmdet(root):
    code = """
import importlib.util, pkgutil, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("mmcv", "mmdet", "av", "tensorboard"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
import vosplug
folder = vosplug.__file__.rsplit("/", 1)[0]
names = [item.name for item in pkgutil.walk_packages([folder], "vosplug.") if ".configs" not in item.name]
if importlib.util.find_spec("vosplug.ops"):
    names.append("vosplug.ops")
for name in names:
    importlib.import_module(name)
print(len(names))
"""
    assert int(run(sys.executable, "-c", code, cwd=root)) > 40


def test_make_knows_its_targets(root):
    listed = run("make", "-s", "help", cwd=root)
    for target in ("env", "env-mm", "demo", "test", "lint", "bench", "test-gpu"):
        assert f"make {target} " in listed
        run("make", "-n", target, cwd=root)


def test_make_refuses_an_old_python(root, tmp_path):
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = subprocess.run(["make", "env", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}"], cwd=root,
                          capture_output=True, text=True)
    assert done.returncode != 0
    assert "error: vosplug needs Python 3.10 or newer" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_continuous_integration_stops_at_the_first_failure(root, tmp_path):
    (tmp_path / ".ci").mkdir()
    script = tmp_path / ".ci" / "run"
    shutil.copy(root / ".ci" / "run", script)
    makefile = tmp_path / "Makefile"
    for outcome, status in (("true", 0), ("false", 2)):
        makefile.write_text(f"test:\n\t@echo tested; {outcome}\nlint:\n\t@echo linted\n")
        done = subprocess.run(["bash", script], capture_output=True, text=True, env={**os.environ, "WHEELS": ""})
        assert done.returncode == status
        assert done.stdout.split() == (["tested", "linted"] if status == 0 else ["tested"])


def test_licence_is_whole(root):
    text = (root / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


def small_model(folder):
    """Config and random weights of a small model."""
    from vosplug.inference import build_segmentor
    from vosplug.utils.checkpoint import save_checkpoint_file

    save_checkpoint_file({"state_dict": build_segmentor("stcn_small", seed=0).state_dict()}, folder / "small.pth")
    return "stcn_small", folder / "small.pth"


def moving_object(folder):
    """A video of a square, and the mask of its first frame."""
    import numpy as np

    from vosplug.inference import OverlayVideoWriter
    from vosplug.inference.readers import Frame
    from vosplug.utils.masks import write_mask

    labels = np.zeros((48, 64), np.uint8)
    labels[10:30, 10:30] = 1
    with OverlayVideoWriter(folder / "clip.mp4", fps=5) as writer:
        for t in range(3):
            image = np.where(np.roll(labels, 4 * t, axis=1)[..., None] == 1, (200, 30, 30), 90).astype(np.uint8)
            writer.write(Frame(t, f"{t:05d}", image), np.zeros_like(labels))
    write_mask(folder / "first.png", labels)
    return folder / "clip.mp4", folder / "first.png"


@pytest.mark.parametrize("operators", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_an_installed_copy_works_alone(copy, tmp_path, operators):
    target = tmp_path / "site"
    choice = {} if operators else {"VOSPLUG_NO_EXTENSION": "1"}
    run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target", target, copy,
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **choice})
    env = {**os.environ, "PYTHONPATH": str(target)}
    code = ("import vosplug, vosplug.utils.configs as c; print(vosplug.__file__)\n"
            "print(*c.list_configs())\n"
            "for name, path in c.list_configs().items(): c.load_config(name)")
    where, names = run(sys.executable, "-c", code, cwd=tmp_path, env=env).splitlines()[:2]
    assert where.startswith(str(target))
    assert names.split() == list(list_configs())
    assert "FrameBank" in run(target / "bin" / "vosplug", "list", "memory", cwd=tmp_path, env=env)
    video, mask = moving_object(tmp_path)
    config, weights = small_model(tmp_path)
    named = () if VOS.is_here else (config, weights)  # the model that comes with vosplug needs nothing else
    demo = ("demo", *named, video, "--mask", mask, "--out", tmp_path / "o.mp4", "--device", "cpu")
    said = run(target / "bin" / "vosplug", *demo, cwd=tmp_path, env=env)
    assert "3 frames of 64 x 48, 1 objects" in said and (tmp_path / "o.mp4").stat().st_size > 0
    if (copy / "ops" / "__init__.py").is_file():
        run(sys.executable, "-c", "import vosplug.ops", cwd=tmp_path, env=env)
        compiled = list((target / "vosplug" / "ops").glob("_C*.so"))
        assert bool(compiled) is (operators and shutil.which("c++") is not None)
