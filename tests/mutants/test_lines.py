"""Tests notice when a line is broken."""

import pytest

from tests.mutants.run_mutants import main


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
def test_no_broken_line_survives():
    assert main([]) == 0
