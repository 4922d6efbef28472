"""The scripts of ``tools/`` that are no command of the package."""

import pytest

from tests.commands import command_module


@pytest.fixture
def tool():
    """Imports ``tools/NAME.py``."""
    return command_module
