"""What can be imported under the name of the package: of a clone's folders the operators, and nothing else."""

import json
import multiprocessing
import pickle
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import vosplug.ops

import vosplug

FOLDERS_OF_INSTALLS = {"ops", "configs"}
"""Folders at the root that an installed copy has inside of the package; an editable one leads to ``configs``, too."""


def test_folders_and_files_of_the_clone_are_no_part_of_the_package(root):
    assert [Path(folder).resolve() for folder in vosplug.__path__] == [root / "vosplug"]
    names = {path.stem for path in root.iterdir() if path.is_dir() or path.suffix == ".py"} - FOLDERS_OF_INSTALLS
    names = {name for name in names if name.isidentifier() and not (root / "vosplug" / name).exists()}
    assert {"tests", "setup", "tools", "docs"} <= names
    assert [name for name in names if find_spec(f"vosplug.{name}")] == []


def test_the_operators_are_found_in_their_folder(root):
    spec = find_spec("vosplug.ops")
    assert [Path(folder).resolve() for folder in spec.submodule_search_locations] == [root / "ops"]
    assert Path(vosplug.ops.__file__).resolve() == root / "ops" / "__init__.py"


def test_the_operators_have_one_name(root):
    run = subprocess.run([sys.executable, "-c", "import ops"], cwd=root, capture_output=True, text=True)
    assert run.returncode == 1
    assert run.stderr.strip().endswith("the operators are the package vosplug.ops, not ops: import that")


def test_other_processes_find_the_operators(root):
    function = pickle.loads(pickle.dumps(vosplug.ops.triple_sparse_conv2d))
    assert function is vosplug.ops.triple_sparse_conv2d
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(vosplug.ops.isa) == vosplug.ops.isa()


def test_a_module_of_the_operators_runs_as_a_program(root):
    command = [sys.executable, "-m", "vosplug.ops.build", "--help"]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert run.returncode == 0 and "Build the compiled operators" in run.stdout, run.stderr


@pytest.mark.parametrize("stays", [True, False])
def test_an_installed_package_keeps_its_own_folder(root, tmp_path, stays):
    """``vosplug/ops`` inside of the package wins over a folder ``ops`` that happens to lie beside it."""
    (tmp_path / "vosplug").mkdir()
    (tmp_path / "vosplug" / "__init__.py").write_text((root / "vosplug" / "__init__.py").read_text())
    for folder in (tmp_path / "ops", *([tmp_path / "vosplug" / "ops"] if stays else [])):
        folder.mkdir()
        (folder / "__init__.py").touch()
    code = "import json, vosplug.ops, vosplug; print(json.dumps([vosplug.ops.__file__, list(vosplug.__path__)]))"
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True,
                         env={"PYTHONPATH": str(tmp_path)})
    found, folders = json.loads(run.stdout)
    assert Path(found).parent == (tmp_path / "vosplug" / "ops" if stays else tmp_path / "ops")
    assert folders == [str(tmp_path / "vosplug")]
