"""The scripts of ``tools/`` that are no command of the package."""

from importlib import import_module

import pytest


@pytest.fixture
def tool(root, monkeypatch):
    """Imports ``tools/NAME.py``."""
    monkeypatch.syspath_prepend(root / "tools")
    return import_module
