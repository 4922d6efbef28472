"""Result files and submissions of YouTube-VIS: written whole or not at all, and every fault is named."""

import json
import zipfile

import pytest

from tests.evaluation.tiny_vis import random_case
from vosplug.evaluation.vis_submission import validate_vis_submission, write_vis_results, write_vis_submission
from vosplug.utils.errors import DataError
from vosplug.utils.vis_json import parse_vis_file, read_vis_results


@pytest.fixture
def case():
    content, results = random_case(5)
    content.pop("annotations")
    shown = [r for r in results if any(m is not None for m in r["segmentations"])]
    return parse_vis_file(content, "valid.json"), shown


def test_a_submission_holds_the_results(case, tmp_path):
    reference, results = case
    write_vis_submission(tmp_path / "a.zip", results, reference)
    write_vis_submission(tmp_path / "b.zip", results, reference)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert validate_vis_submission(tmp_path / "a.zip", reference) == []
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist() == ["results.json"] and json.loads(archive.read("results.json")) == results


def test_result_files(case, tmp_path):
    reference, results = case
    write_vis_results(tmp_path / "r.json", [{**r, "more": 1} for r in results])
    assert json.loads((tmp_path / "r.json").read_text()) == results
    assert sum(map(len, read_vis_results(tmp_path / "r.json", reference).values())) == len(results)


@pytest.mark.parametrize(("change", "message"), [
    ({"video_id": 77}, "results.json, result 1: video_id 77"),
    ({"category_id": 77}, "results.json, result 1: category_id 77"),
    ({"segmentations": [None] * 3}, "results.json, result 1: has no mask in any frame"),
    ({"segmentations": [{"size": [2, 2], "counts": "4"}, None, None]}, "results.json, result 1, frame 0: the size"),
])
def test_faults(case, tmp_path, change, message):
    reference, results = case
    results[1] = {**results[1], **change}
    with pytest.raises(DataError, match=message) as caught:
        write_vis_submission(tmp_path / "a.zip", results, reference)
    assert "nothing was written" in str(caught.value) and list(tmp_path.iterdir()) == []


def test_files_that_are_no_submission(case, tmp_path):
    reference, _ = case
    path = tmp_path / "a.zip"
    assert "not found" in validate_vis_submission(path, reference)[0]
    path.write_text("x")
    assert "not a readable zip" in validate_vis_submission(path, reference)[0]
    for name, text, message in (("a.json", "[]", "expected one file results.json"),
                                ("results.json", "[]", "at least one result"), ("results.json", "[", "not valid JSON")):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, text)
        assert message in validate_vis_submission(path, reference)[0]
