"""The command eval_masks youtube_vis: numbers, files, faults in one line."""

import json
import subprocess
import sys

import pytest

from tests.evaluation.tiny_vis import plain_scores, random_case
from vosplug.cli.eval_masks import main
from vosplug.evaluation.functional.youtube_vis import KEYS


@pytest.fixture
def case(tmp_path):
    content, results = random_case(2)
    paths = tmp_path / "gt.json", tmp_path / "pred.json"
    for path, value in zip(paths, (content, results), strict=True):
        path.write_text(json.dumps(value))
    return content, results, *paths


def run(gt, pred, *more):
    return main(["youtube_vis", "--gt", str(gt), "--pred", str(pred), *map(str, more)])


@pytest.mark.parametrize("agnostic", [False, True])
def test_numbers(case, tmp_path, capsys, agnostic):
    content, results, gt, pred = case
    more = ["--class-agnostic"] if agnostic else ["--per-category"]
    assert run(gt, pred, "--json", tmp_path / "out.json", *more) == 0
    numbers = json.loads((tmp_path / "out.json").read_text())
    expected = plain_scores(content["annotations"], results, range(1, 5), [1, 2, 3], agnostic)
    assert list(numbers)[:5] == ["AP", "AP50", "AP75", "AR1", "AR10"]
    assert {key: numbers[key] for key in KEYS} == pytest.approx(expected, abs=1e-12)
    assert len(numbers["per_threshold_AP"]) == 10 and ("per_category" in numbers) != agnostic
    text = capsys.readouterr().out
    assert f"{expected['AP']:.3f}" in text and ("c1" in text) != agnostic


def first(results, **changes):
    results[0].update(changes)
    return results


def without(results, key):
    del results[0][key]
    return results


MASK = {"size": [24, 40], "counts": "zz"}


def test_nothing_found_scores_nothing(case, tmp_path):
    *_, gt, pred = case
    pred.write_text("[]")
    assert run(gt, pred, "--json", tmp_path / "out.json") == 0
    numbers = json.loads((tmp_path / "out.json").read_text())
    assert {numbers[key] for key in KEYS} <= {0.0, -1.0, None} and numbers["AP"] == 0.0


@pytest.mark.parametrize(("spoil", "message"), [
    (lambda r: {"results": r}, "results must be a list, got dict"),
    (lambda r: [3], "result 0: expected an object"),
    (lambda r: first(r, video_id=99), "result 0: video_id 99 is not among the 4 videos"),
    (lambda r: first(r, video_id=True), "video_id True"),
    (lambda r: first(r, category_id=9), "result 0: category_id 9 is not among the 3 categories"),
    (lambda r: first(r, score="high"), "score must be a finite number, got 'high'"),
    (lambda r: first(r, score=float("nan")), "score must be a finite number"),
    (lambda r: first(r, segmentations=[None]), "one entry for each of the 3 frames"),
    (lambda r: first(r, segmentations=None), "got NoneType"),
    (lambda r: first(r, video_id=1, segmentations=[None, MASK, None]), "result 0, frame 1: bad run lengths"),
    (lambda r: first(r, video_id=1, segmentations=[None, [[0, 0, 5, 0, 5, 5]], None]), "polygons are not accepted"),
    (lambda r: first(r, video_id=1, segmentations=[{**MASK, "size": [9, 9]}, None, None]), "the size of the run"),
    (lambda r: first(r, video_id=1, segmentations=[5, None, None]), "not a segmentation: 5"),
    (lambda r: without(r, "score"), "result 0: 'score' is missing"),
])
def test_faulty_results(case, capsys, spoil, message):
    _, results, gt, pred = case
    pred.write_text(json.dumps(spoil(results)))
    assert run(gt, pred) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and error.startswith("error: ")


@pytest.mark.parametrize(("spoil", "message"), [
    (lambda c: c.pop("annotations"), "has no annotations"),
    (lambda c: c.update(annotations=[]), "the list of annotations is empty"),
    (lambda c: c.pop("categories"), "expected a list of categories, got nothing"),
    (lambda c: c.update(categories=[]), "the list of categories is empty"),
    (lambda c: c.update(videos=[]), "the list of videos is empty"),
    (lambda c: c["videos"].append(c["videos"][0]), "two entries of videos have the id 1"),
    (lambda c: c["videos"][0].update(height=0), "video 1: height must be a whole number above 0"),
    (lambda c: c["videos"][0].update(file_names=[]), "video 1: file_names"),
    (lambda c: c["annotations"][0].update(video_id=7), "annotation 1: video_id 7"),
    (lambda c: c["annotations"][0].update(category_id=7), "annotation 1: category_id 7"),
    (lambda c: c["annotations"][0].update(areas=[1]), "annotation 1: areas must be a list"),
    (lambda c: c["annotations"][0]["segmentations"].__setitem__(0, {"size": [1, 1], "counts": [1]}),
     "annotation 1, frame 0: the size of the run lengths"),
])
def test_faulty_references(case, capsys, spoil, message):
    content, _, gt, pred = case
    spoil(content)
    gt.write_text(json.dumps(content))
    assert run(gt, pred) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_files_that_are_none(case, tmp_path, capsys):
    _, _, gt, pred = case
    assert run(gt, tmp_path / "none.json") == 2 and "cannot read" in capsys.readouterr().err
    pred.write_text("[1,\n2")
    assert run(gt, pred) == 2 and "not valid JSON (line 2" in capsys.readouterr().err
    assert run(pred, pred) == 2 and "not valid JSON" in capsys.readouterr().err
    pred.write_bytes(b"\xff\xfe\x00")
    assert run(gt, pred) == 2 and "error: " in capsys.readouterr().err


def test_scoring_tracks_loads_no_framework(case, root):
    _, _, gt, pred = case
    program = ("import sys; from vosplug.cli.eval_masks import main; "
               f"status = main(['youtube_vis', '--gt', {str(gt)!r}, '--pred', {str(pred)!r}]); "
               "print('loaded', sorted({'torch', 'mmengine', 'scipy', 'cv2'} & set(sys.modules)), status)")
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded [] 0"


@pytest.mark.shared
def test_stored_numbers(shared, tmp_path):
    folder = shared / "golden/ytvis_metric"
    assert run(folder / "annotations.json", folder / "results.json", "--json", tmp_path / "o.json") == 0
    numbers, expected = (json.loads(p.read_text()) for p in (tmp_path / "o.json", folder / "expected.json"))
    assert {key: numbers[key] for key in KEYS} == pytest.approx(expected["segm"], abs=1e-9)
