"""Reading of golden manifests."""

import json

import numpy as np
import pytest

from vosplug.parity import Manifest
from vosplug.parity.fill import checksum, fill_state_dict
from vosplug.utils.errors import DataError

SHAPES = {"a.weight": [2, 3], "a.bias": [2]}


def write(folder, **changes):
    """A small manifest with its arrays; ``changes`` replace top-level keys, None removes them."""
    gains = [["a.", 2.0]]
    spec = dict(name="x", source=dict(repository="github.com/someone/ToyVOS"), inputs=dict(file="in", label="mask"),
                hyperparameters=dict(num_frames=2, num_objects=1), state_dict=SHAPES,
                fill=dict(gains=gains, checksum=checksum(fill_state_dict(SHAPES, gains))), outputs={},
                tolerance=dict(float64=dict(max_abs=1e-5, max_rel_to_peak=1e-5)))
    spec = {k: v for k, v in {**spec, **changes}.items() if v is not None}
    (folder / "x.json").write_text(json.dumps(spec))
    np.savez(folder / "x.npz", prob=np.zeros(3, np.float32))
    np.savez(folder / "in.npz", frames=np.zeros((4, 2, 2, 3), np.uint8), mask=np.eye(2, dtype=np.uint8),
             mask1=np.zeros((2, 2), np.uint8))
    return folder / "x.json"


def test_content(tmp_path):
    manifest = Manifest.read(write(tmp_path))
    assert manifest.family == "toyvos" and set(manifest.expected) == {"prob"}
    assert manifest.frames().shape == (2, 2, 2, 3) and manifest.label().tolist() == [[1, 0], [0, 1]]
    weights = manifest.weights()
    assert {name: list(value.shape) for name, value in weights.items()} == SHAPES
    assert np.allclose(weights["a.weight"], 2 * fill_state_dict(SHAPES)["a.weight"], rtol=1e-6)


def test_label_by_number_of_objects(tmp_path):
    assert Manifest.read(write(tmp_path, inputs=dict(file="in"))).label().sum() == 0


def test_missing_label(tmp_path):
    manifest = Manifest.read(write(tmp_path, inputs=dict(file="in", label="mask7")))
    with pytest.raises(DataError, match="no array 'mask7'"):
        manifest.label()


def test_wrong_checksum(tmp_path):
    manifest = Manifest.read(write(tmp_path, fill=dict(checksum="00000000")))
    with pytest.raises(DataError, match="expected 00000000"):
        manifest.weights()


@pytest.mark.parametrize("name", ["x.npz", "in.npz"])
def test_missing_and_damaged_arrays(tmp_path, name):
    path = write(tmp_path)
    (tmp_path / name).write_bytes(b"PK not a zip")
    with pytest.raises(DataError, match=f"{name} is not a readable .npz file"):
        Manifest.read(path)
    (tmp_path / name).unlink()
    with pytest.raises(DataError, match=f"array file not found: .*{name}"):
        Manifest.read(path)


def test_arrays_are_not_unpickled(tmp_path):
    path = write(tmp_path)
    np.savez(tmp_path / "x.npz", prob=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match="is not a readable .npz file"):
        Manifest.read(path)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe\x00", b""])
def test_bad_json(tmp_path, content):
    path = write(tmp_path)
    path.write_bytes(content)
    with pytest.raises(DataError, match="not a readable JSON file"):
        Manifest.read(path)


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match="manifest not found"):
        Manifest.read(tmp_path / "none.json")


@pytest.mark.parametrize("changes, lacking", [
    (dict(fill=None, state_dict=None), "state_dict, fill"), (dict(inputs=dict(label="mask")), "inputs.file"),
    (dict(fill={}), "fill.checksum"), (dict(source={}), "source.repository"), (dict(source="x"), "source.repository"),
    (dict(tolerance=dict(note="-")), "tolerance.float64"), (dict(hyperparameters={}), "hyperparameters.num_frames")])
def test_incomplete_manifests_say_what_they_lack(tmp_path, changes, lacking):
    with pytest.raises(DataError, match=f"it lacks {lacking}$"):
        Manifest.read(write(tmp_path, **changes))


def test_a_list_is_no_manifest(tmp_path):
    path = write(tmp_path)
    path.write_text("[1, 2]")
    with pytest.raises(DataError, match="is not a golden manifest"):
        Manifest.read(path)
