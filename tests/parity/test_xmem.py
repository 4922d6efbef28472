"""Numerical parity with the official XMem."""

import pytest
import torch

from vosplug.cli.parity import check
from vosplug.parity import Manifest

pytestmark = [pytest.mark.shared, pytest.mark.slow]


def test_every_tensor_of_the_manifest(shared):
    manifest = Manifest.read(shared / "golden" / "xmem_2obj.json")
    rows = check(manifest, None, torch.float64).rows
    assert {row.name for row in rows} == set(manifest.spec["outputs"]) and len(rows) == 17
    assert [row for row in rows if row.fault] == []
