"""The command parity, with a family of which everything is known."""

import json

import numpy as np
import pytest
from mmengine.config import ConfigDict

from vosplug.cli.parity import main
from vosplug.parity.fill import checksum, fill_state_dict
from vosplug.registry import PARITY_RUNS
from vosplug.utils.errors import CheckpointError

STORED = {"prob": np.array([0.5, 0.25], np.float32), "argmax": np.array([1, 0], np.uint8)}


@pytest.fixture
def toy(monkeypatch):
    """A parity run that answers with ``toy.answer``."""

    class ToyRun:
        answer = dict(STORED)
        fault = None

        def __init__(self, manifest, dtype):
            self.manifest, self.dtype = manifest, dtype

        def run(self):
            if ToyRun.fault:
                raise CheckpointError(ToyRun.fault)
            self.manifest.weights()
            return dict(ToyRun.answer)

    monkeypatch.setitem(PARITY_RUNS.module_dict, "toy", ToyRun)
    return ToyRun


def printed(capsys):
    """What the command printed, on one line."""
    return " ".join("".join(capsys.readouterr()).split())


def write(folder, name="m", repository="github.com/someone/Toy", crc=None, outputs=STORED, tolerance=1e-5):
    shapes = {"w": [2, 2]}
    spec = dict(name=name, source=dict(repository=repository), inputs=dict(file="in"), state_dict=shapes,
                hyperparameters=dict(num_frames=1, num_objects=1), outputs={n: {} for n in outputs},
                fill=dict(checksum=crc or checksum(fill_state_dict(shapes))),
                tolerance=dict(float64=dict(max_abs=tolerance, max_rel_to_peak=tolerance)))
    (folder / f"{name}.json").write_text(json.dumps(spec))
    np.savez(folder / f"{name}.npz", **STORED)
    np.savez(folder / "in.npz", frames=np.zeros((1, 2, 2, 3), np.uint8))
    return str(folder / f"{name}.json")


def test_agreement(toy, tmp_path, capsys):
    path = write(tmp_path)
    assert main([path, "--json", str(tmp_path / "out.json")]) == 0
    assert "2 of 2 tensors agree in 1 of 1 manifests" in capsys.readouterr().out
    report = json.loads((tmp_path / "out.json").read_text())
    assert report[path]["tensors"]["prob"] == {"max_abs": 0.0, "rel_to_peak": 0.0, "fault": ""}
    assert report[path]["dtype"] == "float64" and not report[path]["looser"]
    assert report[path]["tolerance"] == report[path]["manifest_tolerance"] == dict(max_abs=1e-5, max_rel_to_peak=1e-5)


@pytest.mark.parametrize("change, fault", [
    ({"prob": np.array([0.5, 0.26])}, "outside the tolerance"), ({"prob": np.array([0.5, np.nan])}, "not finite"),
    ({"prob": np.zeros(3)}, "shape (3,)"), ({"prob": None}, "not computed"),
    ({"argmax": np.array([1, 1])}, "1 of 2 elements differ"), ({"more": np.zeros(1)}, "nothing to compare with")])
def test_one_bad_tensor_fails_the_command(toy, tmp_path, capsys, change, fault):
    toy.answer = {name: value for name, value in {**STORED, **change}.items() if value is not None}
    path = write(tmp_path)
    assert main([path, "--json", str(tmp_path / "out.json")]) == 1
    report = json.loads((tmp_path / "out.json").read_text())[path]["tensors"]
    assert [name for name in report if report[name]["fault"]] == list(change)
    assert fault in report[next(iter(change))]["fault"]
    total = len({**STORED, **change})
    assert f"{total - 1} of {total} tensors agree" in capsys.readouterr().out


def test_what_is_promised_but_not_stored_fails(toy, tmp_path):
    path = write(tmp_path, outputs=[*STORED, "key"])
    toy.answer = {**STORED, "key": np.zeros(2)}
    assert main([path, "--json", str(tmp_path / "out.json")]) == 1
    assert "not stored" in json.loads((tmp_path / "out.json").read_text())[path]["tensors"]["key"]["fault"]


def test_a_looser_tolerance_has_to_be_asked_for_by_name(toy, tmp_path, capsys):
    toy.answer = {**STORED, "prob": np.array([0.5, 0.26])}
    path, out = write(tmp_path), tmp_path / "out.json"
    assert main([path]) == 1
    assert main([path, "--tol", "0.02", "--json", str(out)]) == 1
    text = printed(capsys)
    assert "2 of 2 tensors agree" in text and "say --allow-looser" in text
    assert "allowed: 0.02 absolute" in text and "looser than the manifest, which allows 1e-05" in text
    report = json.loads(out.read_text())[path]
    assert report["looser"] and report["tolerance"]["max_abs"] == 0.02
    assert main([path, "--tol", "0.02", "--allow-looser"]) == 0
    assert main([path, "--tol", "0.001", "--allow-looser"]) == 1
    toy.answer = dict(STORED)
    assert main([path, "--tol", "1e-7"]) == 0


def test_a_manifest_that_allows_much_says_so(toy, tmp_path, capsys):
    assert main([write(tmp_path, tolerance=1e-3)]) == 0
    assert "the manifest itself allows more than 0.0001" in printed(capsys)
    assert main([write(tmp_path)]) == 0 and "note:" not in printed(capsys)


def test_what_is_not_as_shipped_is_listed(toy, tmp_path, capsys, monkeypatch):
    model = ConfigDict(type="T", head=dict(top_k=20, sizes=(1, 2)))

    def run(self):
        self.manifest.adapt(model, {"head.top_k": 5, "head.sizes": [1, 2], "type": "T"})
        return dict(STORED)

    monkeypatch.setattr(toy, "run", run)
    path, out = write(tmp_path), tmp_path / "out.json"
    assert main([path, "--json", str(out)]) == 0
    assert "not as shipped: head.top_k = 5 (config: 20)" in printed(capsys)
    assert json.loads(out.read_text())[path]["not_as_shipped"] == {"head.top_k": {"config": 20, "run": 5}}
    assert model.head.top_k == 5


@pytest.mark.parametrize("change, message", [
    (dict(repository="github.com/someone/Other"), "no parity run for 'github.com/someone/Other'"),
    (dict(repository="github.com/someone/os.path"), "no parity run"), (dict(crc="12345678"), "expected 12345678")])
def test_what_cannot_be_run_is_told_and_the_rest_is_done(toy, tmp_path, capsys, change, message):
    bad, good = write(tmp_path, "bad", **change), write(tmp_path, "good")
    assert main([bad, good, "--json", str(tmp_path / "out.json")]) == 2
    text = printed(capsys)
    assert message in text and "2 of 2 tensors agree in 1 of 2 manifests" in text
    report = json.loads((tmp_path / "out.json").read_text())
    assert set(report[bad]) == {"error"} and not report[good]["tensors"]["prob"]["fault"]


def test_weights_that_do_not_fit_are_an_error(toy, tmp_path, capsys):
    toy.fault = "not all weights are used: 1 of 2 weights converted, 1 unknown: x"
    assert main([write(tmp_path)]) == 2
    assert "1 unknown: x" in printed(capsys)


def test_missing_manifest(capsys):
    assert main(["nowhere.json"]) == 2
    assert "manifest not found: nowhere.json" in printed(capsys)
