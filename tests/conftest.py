"""Fixtures that all tests share."""

import os
import signal
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
