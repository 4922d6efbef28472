"""FRTM and the reuse gate against stored outputs of their public code."""

import pytest
import torch

from vosplug.cli.parity import check
from vosplug.parity import Manifest


@pytest.mark.shared
@pytest.mark.parametrize("name, tensors", [("frtm_augment_1obj", 2), ("frtm_fast_late", 15), ("reuse_fast_2obj", 16)])
def test_every_stored_tensor(shared, name, tensors):
    rows = check(Manifest.read(shared / "golden" / f"{name}.json"), None, torch.float64).rows
    assert [(row.name, row.fault) for row in rows if row.fault] == [] and len(rows) == tensors
