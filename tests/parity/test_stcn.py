"""Numerical parity with the official STCN."""

import json

import numpy as np
import pytest
import torch

from vosplug.cli.parity import check
from vosplug.parity import Manifest, STCNParity, compare
from vosplug.utils.errors import CheckpointError

pytestmark = pytest.mark.shared


class Zeros(Manifest):
    """A manifest whose weights are zeros, which takes no time."""

    def weights(self):
        return {name: np.zeros(shape, np.float32) for name, shape in self.spec["state_dict"].items()}


def changed(manifest, cls=Manifest, **spec):
    """The manifest with other top-level keys."""
    return cls(manifest.path, {**manifest.spec, **spec}, manifest.expected, manifest.inputs)


def test_a_frame_of_features_values_and_readouts(shared):
    """Two frames: everything that the manifest stores of one pass through each network, and the first masks."""
    manifest = Manifest.read(shared / "golden" / "stcn_1obj_top20.json")
    short = changed(manifest, hyperparameters={**manifest.hyperparameters, "num_frames": 2})
    ours = STCNParity(short).run()
    tolerance = manifest.spec["tolerance"]["float64"]
    expected = dict(manifest.expected)
    expected.update(prob=expected["prob"][:, :2], argmax=expected["argmax"][:2])
    expected.pop("memory_size")
    rows = [compare(name, ours[name], stored, tolerance) for name, stored in expected.items()]
    assert len(rows) == 9 and [row for row in rows if row.fault] == []
    assert ours["memory_size"].tolist() == [15 * 27] * 2


def test_unused_and_missing_weights_fail(shared):
    manifest = Manifest.read(shared / "golden" / "stcn_1obj_top20.json")
    names = manifest.spec["state_dict"]
    more = changed(manifest, Zeros, state_dict={**names, "decoder.extra.weight": [2, 2]})
    with pytest.raises(CheckpointError, match="not all weights are used: .*1 unknown: decoder.extra.weight"):
        STCNParity(more).build()
    fewer = changed(manifest, Zeros, state_dict={k: v for k, v in names.items() if k != "decoder.pred.bias"})
    with pytest.raises(CheckpointError, match=r"1 missing \(decoder.pred.bias\)"):
        STCNParity(fewer).build()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stcn_1obj_top20", "stcn_2obj_top20"])
def test_every_tensor_of_the_manifest(shared, name):
    manifest = Manifest.read(shared / "golden" / f"{name}.json")
    rows = check(manifest, None, torch.float64).rows
    assert {row.name for row in rows} == set(manifest.spec["outputs"]) and len(rows) >= 10
    assert [row for row in rows if row.fault] == []


def test_manifest_is_the_one_that_the_command_promises(shared):
    spec = json.loads((shared / "golden" / "stcn_2obj_top20.json").read_text())
    stored = np.load(shared / "golden" / "stcn_2obj_top20.npz")
    assert set(spec["outputs"]) == set(stored.files)
