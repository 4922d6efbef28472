"""Numerical parity with the public CFBI."""

import numpy as np
import pytest
import torch

from vosplug.cli.parity import check
from vosplug.parity import CFBIParity, Manifest, compare
from vosplug.utils.errors import CheckpointError, InputError

pytestmark = pytest.mark.shared
NAMES = ["cfbi_r101_1obj", "cfbi_r101_2obj", "cfbi_r101_join", "cfbi_r101_2obj_atrous2", "cfbi_r101_train"]


def changed(manifest, **settings):
    """The manifest with other hyper-parameters."""
    spec = {**manifest.spec, "hyperparameters": {**manifest.hyperparameters, **settings}}
    return Manifest(manifest.path, spec, manifest.expected, manifest.inputs)


def test_the_decoder_alone_for_any_number_of_slots(shared):
    manifest = Manifest.read(shared / "golden" / "cfbi_ensembler_sst.json")
    rows = check(manifest, None, torch.float64).rows
    assert {row.name for row in rows} == {f"logits_{count}obj" for count in (0, 1, 2, 11)}
    assert [row for row in rows if row.fault] == []


def test_two_frames_from_the_backbone_to_the_labels(shared):
    """Everything that the manifest stores of one pass through each network, and the first labels."""
    manifest = Manifest.read(shared / "golden" / "cfbi_r101_2obj_atrous2.json")
    ours = CFBIParity(changed(manifest, num_frames=2)).run()
    expected = {name: x for name, x in manifest.expected.items() if not name.endswith("_last")}
    expected.update({name: expected[name][:1] for name in ("logits", "prob", "label")})
    rows = [compare(name, ours[name], x, manifest.spec["tolerance"]["float64"]) for name, x in expected.items()]
    assert len(rows) == 19 and [row for row in rows if row.fault] == []
    # Frame 1 is the last one.
    assert np.array_equal(ours["attention_head_last"], ours["attention_head_frame1"])
    assert np.array_equal(ours["prehead_input_last"], ours["prehead_input_frame1"][..., ::2, ::2])


def test_unknown_modes_and_unused_weights_are_refused(shared):
    manifest = Manifest.read(shared / "golden" / "cfbi_ensembler_sst.json")
    with pytest.raises(InputError, match="no parity run of the mode 'decode'. Did you mean 'decoder'"):
        CFBIParity(changed(manifest, mode="decode")).run()

    class WithMore(Manifest):
        def weights(self):
            return {**super().weights(), "dynamic_seghead.layer9.conv1.weight": np.zeros((1, 1, 1, 1), np.float32)}

    more = WithMore(manifest.path, manifest.spec, manifest.expected, manifest.inputs)
    with pytest.raises(CheckpointError, match="1 unknown: dynamic_seghead.layer9.conv1.weight"):
        CFBIParity(more).run()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_tensor_of_the_manifest(shared, name):
    manifest = Manifest.read(shared / "golden" / f"{name}.json")
    rows = check(manifest, None, torch.float64).rows
    assert {row.name for row in rows} == set(manifest.spec["outputs"]) and len(rows) >= 10
    assert [row for row in rows if row.fault] == []
