"""The command eval_masks: numbers, files, faults, exit status."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from tests.evaluation import tiny
from vosplug.cli.eval_masks import main
from vosplug.evaluation.functional.davis import KEYS
from vosplug.utils.masks import read_mask, write_mask


@pytest.fixture
def case(tmp_path):
    root = tiny.davis_root(tmp_path / "gt", {"bear": 5, "ant": 4, "cow": 4})
    return root, tiny.predict(root, tmp_path / "pred"), tmp_path


def davis(root, pred, *more):
    return main(["davis", "--gt", str(root), "--pred", str(pred), "--workers", "1", *map(str, more)])


def test_davis_root_folder_and_workers_give_the_same_numbers(case, capsys):
    root, pred, out = case
    assert davis(root, pred, "--json", out / "a.json") == 0
    assert davis(root / "Annotations/480p", pred, "--json", out / "b.json") == 0
    assert main(["davis", "--gt", str(root), "--pred", str(pred), "--workers", "2", "--json", str(out / "c.json")]) == 0
    a, b, c = (json.loads((out / f"{name}.json").read_text()) for name in "abc")
    assert a == b == c
    assert list(a)[:7] == list(KEYS) and a["complete"] and a["faults"] == {}
    assert list(a["sequences"]) == ["ant", "bear", "cow"]
    assert a["J-Mean"] == pytest.approx(np.mean([v["J-Mean"] for s in a["sequences"].values()
                                                 for v in s["objects"].values()]), abs=1e-12)
    text = capsys.readouterr().out
    assert "bear" in text and f"{a['J&F-Mean']:.3f}" in text


def test_csv_and_sheet(case):
    root, pred, out = case
    assert davis(root, pred, "--csv", out / "csv", "--sheet", out / "sheet.png", "--sequences", "ant", "cow") == 0
    head, values = (out / "csv/global_results-val.csv").read_text().splitlines()
    assert head == ",".join(KEYS) and len(values.split(",")) == 7
    rows = (out / "csv/per-sequence_results-val.csv").read_text().splitlines()
    assert rows[0] == "Sequence,J-Mean,F-Mean"
    assert [row.split(",")[0] for row in rows[1:]] == ["ant_1", "ant_2", "cow_1", "cow_2"]
    assert (out / "sheet.png").stat().st_size > 1000


def test_predictions_may_have_slivers_of_objects(case):
    """What a network predicts, an object within the rim of another one, is no sign of interpolation."""
    root, pred, out = case
    for path in sorted((root / "Annotations/480p/bear").glob("*.png")):
        labels = read_mask(path).copy()
        labels[:8, :8] = 3  # the sequence has three objects
        write_mask(path, labels)
    labels = np.zeros(tiny.SIZE, np.uint8)
    for value, part in ((1, slice(2, 12)), (2, slice(19, 24)), (3, slice(20, 23))):
        labels[part, part] = value
    write_mask(pred / "bear/00002.png", labels)
    assert davis(root, pred, "--sheet", out / "sheet.png") == 0


def test_protocols_differ(case):
    root, pred, out = case
    shutil.copytree(root / "Annotations", root / "Annotations_unsupervised")
    numbers = {}
    for protocol in ("semi2017", "semi2016", "unsupervised"):
        assert davis(root, pred, "--protocol", protocol, "--json", out / "n.json") == 0
        numbers[protocol] = json.loads((out / "n.json").read_text())
    counts = {name: (len(n["sequences"]["bear"]["frames"]), len(n["sequences"]["bear"]["objects"]))
              for name, n in numbers.items()}
    assert counts == {"semi2017": (3, 2), "semi2016": (3, 1), "unsupervised": (5, 2)}


def smaller(path):
    write_mask(path, read_mask(path)[:-3])


def extra_id(path):
    write_mask(path, np.full(tiny.SIZE, 9, np.uint8))


@pytest.mark.parametrize(("spoil", "message"), [
    (lambda pred: shutil.rmtree(pred / "bear"), "sequence bear: folder of the predictions not found"),
    (lambda pred: (pred / "bear/00002.png").unlink(), "sequence bear: the prediction of frame 00002 is missing"),
    (lambda pred: smaller(pred / "bear/00002.png"), "sequence bear, frame 00002: the prediction is 48x33"),
    (lambda pred: extra_id(pred / "bear/00003.png"), "sequence bear, frame 00003: the prediction has id 9"),
    (lambda pred: (pred / "bear/00001.png").write_bytes(b"?"), "bear/00001.png: not a readable image"),
])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_fault_names_the_sequence_and_keeps_the_others(case, capsys, spoil, message, workers):
    root, pred, out = case
    spoil(pred)
    assert davis(root, pred, "--json", out / "n.json", "--workers", workers) == 2
    printed = capsys.readouterr()
    errors = [line for line in printed.err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1 and message in errors[0]
    numbers = json.loads((out / "n.json").read_text())
    assert list(numbers["sequences"]) == ["ant", "cow"]
    assert not numbers["complete"] and message in numbers["faults"]["bear"]
    assert "only 2 of 3 sequences" in printed.out


def test_first_and_last_prediction_are_not_needed(case):
    root, pred, _ = case
    (pred / "bear/00000.png").unlink()
    (pred / "bear/00004.png").unlink()
    assert davis(root, pred) == 0


def test_two_frames_are_too_few(tmp_path, capsys):
    root = tiny.davis_root(tmp_path / "gt", {"bear": 2})
    assert davis(root, tiny.predict(root, tmp_path / "pred"), "--json", tmp_path / "n.json") == 2
    assert "sequence bear: no frame is left to score" in capsys.readouterr().err
    assert not (tmp_path / "n.json").exists()


@pytest.mark.parametrize(("options", "message"), [
    (["--pred", "nowhere"], "folder of the predictions not found: nowhere"),
    (["--gt", "nowhere"], "folder of the references not found: nowhere"),
    (["--protocol", "semi2018"], "unknown protocol 'semi2018'. Did you mean 'semi201"),
    (["--set", "vla"], "Did you mean 'val'"),
    (["--year", "2019"], "lists of the year not found"),
    (["--resolution", "1080p"], "annotations of this resolution not found"),
    (["--sequences", "beer"], "has no sequence 'beer'. Did you mean 'bear'"),
    (["--sheet", "x.gif"], "expected a file name with .png or .jpg"),
    (["--protocol", "unsupervised"], "has no folder Annotations_unsupervised"),
])
def test_wrong_options_are_one_line(case, capsys, options, message):
    root, pred, _ = case
    assert davis(root, pred, *options) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ") and message in error and "\n" not in error


def test_options_that_would_have_no_effect_are_refused(case, capsys):
    root, pred, _ = case
    assert davis(root / "Annotations/480p", pred, "--set", "val") == 2
    assert "--set is for a DAVIS root" in capsys.readouterr().err


def test_youtube_vos(tmp_path, capsys):
    root = tiny.youtube_vos_root(tmp_path / "gt")
    pred = tmp_path / "pred"
    shutil.copytree(root / "Annotations", pred / "Annotations")
    command = ["youtube_vos", "--gt", str(root), "--pred", str(pred), "--workers", "1"]
    assert main([*command, "--json", str(tmp_path / "n.json"), "--csv", str(tmp_path / "csv")]) == 0
    numbers = json.loads((tmp_path / "n.json").read_text())
    assert {key: numbers[key] for key in ("G", "J_seen", "J_unseen", "F_seen", "F_unseen")} == dict.fromkeys(
        ("G", "J_seen", "J_unseen", "F_seen", "F_unseen"), 1.0)
    assert numbers["seen"] == ["dog"]
    assert (tmp_path / "csv/global_results.csv").read_text().splitlines()[1] == "1.000,1.000,1.000,1.000,1.000"
    assert main([*command, "--seen", "dog", "duck", "--json", str(tmp_path / "n.json")]) == 0
    numbers = json.loads((tmp_path / "n.json").read_text())
    assert numbers["J_seen"] == 1.0 and numbers["J_unseen"] is None and numbers["G"] is None
    assert main([*command, "--seen", str(root / "meta.json"), "--json", str(tmp_path / "n.json")]) == 0
    assert json.loads((tmp_path / "n.json").read_text())["seen"] == ["dog", "duck"]
    assert main([*command, "--seen", "dgo"]) == 2
    assert "Did you mean 'dog'" in capsys.readouterr().err
    (pred / "Annotations/v1/00010.png").unlink()
    assert main(command) == 2
    assert "v1: the prediction of frame 00010 is missing" in capsys.readouterr().err


def test_scoring_loads_no_framework(case, root):
    folder, pred, _ = case
    program = ("import sys; from vosplug.cli.eval_masks import main; "
               f"status = main(['davis', '--gt', {str(folder)!r}, '--pred', {str(pred)!r}, '--workers', '1']); "
               "print('loaded', sorted({'torch', 'mmengine', 'scipy'} & set(sys.modules)), status)")
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded [] 0"


def test_script_runs_from_anywhere(case, root):
    folder, pred, out = case
    command = [sys.executable, root / "tools/eval_masks.py", "davis", "--gt", folder, "--pred", pred, "--workers", "2"]
    done = subprocess.run(command, cwd=out, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "all objects" in done.stdout
    shutil.rmtree(pred)
    done = subprocess.run(command, cwd=out, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.startswith("error: folder of the predictions not found")


@pytest.mark.shared
@pytest.mark.parametrize("which", ["binary", "binary 2016", "multi", "unsupervised"])
def test_real_masks_have_the_official_numbers(shared, tmp_path, which):
    folder = shared / "golden/davis_metric" / which.split()[0]
    root = shared / "data/davis_mini" if "binary" in which else folder
    options = {"binary": ["--set", "all"], "binary 2016": ["--protocol", "semi2016", "--set", "all"],
               "unsupervised": ["--protocol", "unsupervised"]}.get(which, [])
    assert davis(root, folder / "pred", "--json", tmp_path / "n.json", *options) == 0
    got, expected = json.loads((tmp_path / "n.json").read_text()), json.loads((folder / "expected.json").read_text())
    assert {key: got[key] for key in KEYS} == pytest.approx(expected["global"], abs=1e-9)
    if which == "binary":
        assert davis(root, folder / "pred", "--json", tmp_path / "n.json", "--set", "train") == 0
        got = json.loads((tmp_path / "n.json").read_text())
        assert {key: got[key] for key in KEYS} == pytest.approx(expected["global_train_split"], abs=1e-9)


@pytest.mark.shared
def test_edge_cases(shared, tmp_path, capsys):
    edge = shared / "golden/davis_metric/edge"
    expected = json.loads((edge / "expected.json").read_text())
    gt, pred = tmp_path / "gt", tmp_path / "pred"
    for name in expected:
        shutil.copytree(edge / name / "gt", gt / name)
        shutil.copytree(edge / name / "pred", pred / name)
    assert davis(gt, pred, "--json", tmp_path / "n.json") == 2
    numbers = json.loads((tmp_path / "n.json").read_text())
    assert set(numbers["faults"]) == {name for name, case in expected.items() if "error" in case}
    assert all(name in fault and "\n" not in fault for name, fault in numbers["faults"].items())
    for name, result in numbers["sequences"].items():
        assert {key: result[key] for key in KEYS} == pytest.approx(expected[name]["global"], abs=1e-9)


@pytest.mark.shared
def test_real_youtube_vos_masks_have_the_stored_numbers(shared, tmp_path):
    command = ["youtube_vos", "--gt", str(shared / "data/ytvos_mini/valid_reference"), "--workers", "1",
               "--pred", str(shared / "golden/ytvos_metric/pred"), "--json", str(tmp_path / "n.json")]
    assert main(command) == 0
    got = json.loads((tmp_path / "n.json").read_text())
    expected = json.loads((shared / "golden/ytvos_metric/expected.json").read_text())["after_first"]["scores"]
    assert {key: got[key] for key in expected} == pytest.approx(expected, abs=1e-9)
