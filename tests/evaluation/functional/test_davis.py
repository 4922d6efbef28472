"""J, F, statistics and table of DAVIS: against brute force and against the stored numbers of the official program."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vosplug.evaluation.functional import davis
from vosplug.utils.davis_protocol import scored_frames
from vosplug.utils.errors import ConfigError, DataError, InputError
from vosplug.utils.masks import read_mask

from .. import brute_force

TOLERANCE = 1e-9
EDGE_CASES = [
    "absent_in_both", "absent_in_reference_but_predicted", "missed_on_some_frames", "prediction_all_empty",
    "highest_id_never_predicted", "identical", "disjoint", "full_frame_reference",
    "full_frame_reference_empty_prediction", "touches_border", "bottom_right_corner", "single_pixel", "corner_pixel",
    "thin_lines", "holes", "three_frames", "four_frames", "five_frames", "void_in_reference", "gap_in_ids",
    "late_object_not_predicted", "missing_first_and_last", "tolerance_240x427", "tolerance_480x854",
    "tolerance_480x1152", "tolerance_720x1280", "tolerance_1080x1920",
]
STOPS = {
    "two_frames": "no frame is left to score", "late_object_predicted": "has id 2", "spurious_id": "has id",
    "prediction_uses_255": "has id 255", "prediction_smaller": "the prediction is 60x40 but the reference 80x60",
    "one_prediction_smaller": "the prediction is 60x40 but the reference 80x60",
}


def score(name: str, references: Path, predictions: Path, protocol: str = "2017") -> dict:
    frames = sorted(path.name for path in references.glob("*.png"))
    scorer = davis.SequenceScorer(name, read_mask(references / frames[0]), protocol)
    for index in scored_frames(len(frames)):
        scorer.add(frames[index][:-4], read_mask(predictions / frames[index]), read_mask(references / frames[index]))
    return scorer.result()


def assert_same(got: dict, expected: dict) -> None:
    """All numbers of a sequence agree; J and F of every frame to the last bit."""
    assert got["frames"] == expected["frames"]
    assert list(got["objects"]) == list(expected["objects"])
    for number, entry in expected["objects"].items():
        assert set(got["objects"][number]) == set(entry)
        for key, value in entry.items():
            if key in ("J", "F"):
                assert got["objects"][number][key] == value
            else:
                assert got["objects"][number][key] == pytest.approx(value, abs=TOLERANCE)


@given(height=st.integers(2, 22), width=st.integers(2, 22), seed=st.integers(0, 10**6))
@settings(max_examples=200, deadline=None)
def test_frame_scores_are_the_rule(height, width, seed):
    prediction, reference = brute_force.shapes(height, width, seed), brute_force.shapes(height, width, seed + 1)
    got = davis.frame_scores(prediction, reference, (1, 2, 3))
    for number, (region, boundary) in zip((1, 2, 3), got, strict=True):
        p, r = prediction == number, reference == number
        assert region == brute_force.jaccard(p, r)
        assert boundary == brute_force.f_measure(p, r)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_unequal_boundaries_are_symmetric_and_within_0_and_1(seed):
    a, b = brute_force.shapes(60, 90, seed), brute_force.shapes(60, 90, seed + 7)
    forward, backward = davis.frame_scores(a, b, (1, 2)), davis.frame_scores(b, a, (1, 2))
    np.testing.assert_allclose(forward, backward, rtol=0, atol=1e-15)
    assert np.min(forward) >= 0 and np.max(forward) <= 1
    assert davis.frame_scores(a, a, (1, 2, 3)) == [(1.0, 1.0)] * 3


def test_read_only_and_strided_masks_are_taken():
    labels = np.asfortranarray(brute_force.shapes(40, 50, 3))
    frozen = np.ascontiguousarray(labels)
    frozen.flags.writeable = False
    assert davis.frame_scores(labels, frozen, (1,)) == [(1.0, 1.0)]


def test_statistics_of_one_frame():
    assert davis.statistics([0.5]) == {"Mean": 0.5, "Recall": 0.0, "Decay": 0.0}
    with pytest.raises(InputError, match="at least one frame"):
        davis.statistics([])


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 50, 254, 255, 256, 257, 1000])
def test_decay_takes_quarters_that_share_their_ends(count):
    values = np.random.default_rng(count).random(count)
    edges = (np.round(np.linspace(1, count, 5) + 1e-10) - 1).astype(int)
    if count in (3, 5, 7):  # numpy rounds halves to even, the rule up
        edges = np.floor(np.linspace(1, count, 5) + 0.5 + 1e-10).astype(int) - 1
    expected = values[edges[0]:edges[1] + 1].mean() - values[edges[3]:edges[4] + 1].mean()
    assert davis.statistics(values)["Decay"] == pytest.approx(expected, abs=1e-15)


def test_table_is_the_mean_over_objects_not_sequences():
    entry = {value: davis.object_result([value] * 3, [value / 2] * 3) for value in (0.0, 0.6, 0.9)}
    results = {"b": {"objects": {"1": entry[0.0], "2": entry[0.6]}}, "a": {"objects": {"1": entry[0.9]}}}
    scores = davis.global_scores(results)
    assert tuple(scores) == davis.KEYS
    assert scores["J-Mean"] == pytest.approx(0.5)
    assert scores["J&F-Mean"] == pytest.approx(0.375)
    assert scores["J-Recall"] == pytest.approx(2 / 3)
    assert davis.global_scores({}) is None
    assert davis.global_scores({"a": {"objects": {}}}) is None


def test_faults_are_named():
    reference = np.ones((4, 6), np.uint8)
    scorer = davis.SequenceScorer("dog", reference)
    with pytest.raises(DataError, match=r"dog, frame 00003: the prediction is 6x5 but the reference 6x4"):
        scorer.add("00003", np.ones((5, 6), np.uint8), reference)
    with pytest.raises(DataError, match=r"dog, frame 00004: the prediction has id 9, .* only one object"):
        scorer.add("00004", reference * 9, reference)
    with pytest.raises(DataError, match=r"dog: no frame is left to score"):
        scorer.result()
    with pytest.raises(DataError, match=r"dog: the reference of the first frame has no object"):
        davis.SequenceScorer("dog", reference * 0)
    with pytest.raises(ConfigError, match=r"2018.*expected one of 2017, 2016"):
        davis.SequenceScorer("dog", reference, "2018")
    with pytest.raises(InputError, match="differ in size"):
        davis.frame_scores(reference, reference[1:], (1,))
    with pytest.raises(InputError, match=r"\(H, W\) uint8, got shape \(4, 6\) of int64"):
        davis.frame_scores(reference.astype(np.int64), reference, (1,))


def test_protocol_2016_knows_one_foreground():
    reference = np.zeros((10, 12), np.uint8)
    reference[2:5, 3:8], reference[5:8, 3:8] = 255, 3
    scorer = davis.SequenceScorer("s", reference, "2016")
    scorer.add("00001", (reference > 0) * np.uint8(7), reference)
    assert scorer.result()["objects"]["1"]["J"] == [1.0]


@pytest.mark.shared
@pytest.mark.parametrize("which", ["binary", "multi"])
def test_real_masks_have_the_official_numbers(shared, which):
    folder = shared / "golden" / "davis_metric" / which
    root = folder if which == "multi" else shared / "data" / "davis_mini"
    expected = json.loads((folder / "expected.json").read_text())
    results = {name: score(name, root / "Annotations" / "480p" / name, folder / "pred" / name)
               for name in expected["sequences"]}
    for name, entry in expected["sequences"].items():
        assert_same(results[name], entry)
    assert davis.global_scores(results) == pytest.approx(expected["global"], abs=TOLERANCE)
    for split in ("train", "val") if which == "binary" else ():
        names = (root / "ImageSets" / "2017" / f"{split}.txt").read_text().split()
        got = davis.global_scores({name: results[name] for name in names})
        assert got == pytest.approx(expected[f"global_{split}_split"], abs=TOLERANCE)


@pytest.mark.shared
def test_2016_masks_give_the_same_numbers(shared):
    folder = shared / "golden" / "davis_metric" / "binary"
    expected = json.loads((folder / "expected.json").read_text())["sequences"]["car-shadow"]
    got = score("car-shadow", shared / "data/davis_mini/Annotations_2016/480p/car-shadow", folder / "pred/car-shadow",
                protocol="2016")
    assert_same(got, expected)


@pytest.mark.shared
def test_every_edge_case_is_covered(shared):
    expected = json.loads((shared / "golden/davis_metric/edge/expected.json").read_text())
    assert {name for name, case in expected.items() if "error" not in case} == set(EDGE_CASES)
    assert {name for name, case in expected.items() if "error" in case} == {*STOPS, "missing_middle_frame"}


@pytest.mark.shared
@pytest.mark.parametrize("case", EDGE_CASES)
def test_edge_cases_have_the_official_numbers(shared, case):
    folder = shared / "golden/davis_metric/edge"
    expected = json.loads((folder / "expected.json").read_text())[case]
    got = score(case, folder / case / "gt", folder / case / "pred")
    assert_same(got, expected["sequences"][case])
    assert davis.global_scores({case: got}) == pytest.approx(expected["global"], abs=TOLERANCE)


@pytest.mark.shared
@pytest.mark.parametrize("case", STOPS)
def test_edge_cases_that_stop_the_official_program(shared, case):
    folder = shared / "golden/davis_metric/edge" / case
    with pytest.raises(DataError, match=STOPS[case]) as caught:
        score(case, folder / "gt", folder / "pred")
    assert case in str(caught.value)


@pytest.mark.shared
def test_statistics_have_the_stored_numbers(shared):
    rows = json.loads((shared / "golden/davis_metric/statistics.json").read_text())
    assert max(len(row["values"]) for row in rows) >= 257
    for row in rows:
        got = davis.statistics(row["values"])
        assert got == pytest.approx({"Mean": row["mean"], "Recall": row["recall"],
                                     "Decay": row["decay_without_8bit_wrap"]}, abs=TOLERANCE)
