"""Fixtures that all tests share."""

import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run: a failure is one of the change at hand, not of the draw.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

# A shell starts what it puts into the background deaf to Ctrl-C, and so would be every command that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser):
    parser.addoption("--plugin", action="append", default=[], metavar="FILE.py",
                     help="run tests/contracts on the parts of this plugin too (-k NAME picks them)")


def pytest_configure(config):
    if plugins := config.getoption("--plugin"):
        from vosplug.registry import load_plugin

        for plugin in plugins:
            load_plugin(plugin)


@pytest.fixture(scope="session")
def root() -> Path:
    """Root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of the reference data (golden outputs, real clips); skips, by name, where it is missing."""
    folder = Path(os.environ.get("VOSPLUG_SHARED", ROOT.parent / "shared"))
    if not (folder / "golden").is_dir():
        pytest.skip(f"reference data not found (set VOSPLUG_SHARED to its folder; looked at {folder.name}/)")
    return folder


@pytest.fixture
def world(template, tmp_path, monkeypatch):
    """A copy of the folder ``template`` of a module with bad inputs, as the working folder."""
    from tests.bad_inputs_helpers import copied_world

    yield from copied_world(template, tmp_path, monkeypatch)


@pytest.fixture
def registries():
    """What a test registers, or loads as a plugin, is forgotten after it."""
    from vosplug.registry import KINDS, MODELS

    kinds = {name: dict(kind.members()) for name, kind in KINDS.items()}  # imports all parts
    modules, models = set(sys.modules), dict(MODELS.module_dict)
    yield
    for name in set(sys.modules) - modules:
        if "plugin" in name:
            del sys.modules[name]
    for name, members in kinds.items():
        KINDS[name]._members.clear()
        KINDS[name]._members.update(members)
    MODELS._module_dict.clear()
    MODELS._module_dict.update(models)
