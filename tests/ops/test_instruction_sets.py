"""The kernels of smaller instruction sets pass the same tests, in a process of their own each."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import vosplug.ops as ops

CHOSEN = "triple_matches_reference or residual_and_static or prepared_convolutions_add or matches_the_reference"


@pytest.mark.parametrize("name", ["generic", "avx2", "avx512"])
def test_smaller_instruction_sets(name, root):
    if not ops.has_extension():
        pytest.skip("needs the compiled extension (python ops/build.py)")
    folder = Path(__file__).resolve().parent
    files = [str(path) for path in sorted(folder.glob("test_*.py")) if path.name != Path(__file__).name]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *files, "-k", CHOSEN]
    environment = {**os.environ, "VOSPLUG_ISA": name, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-3000:]
