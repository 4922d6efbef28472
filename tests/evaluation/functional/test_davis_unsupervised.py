"""The unsupervised protocol: assignment, void, and the stored numbers of the official program."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vosplug.evaluation.functional import davis
from vosplug.evaluation.functional.davis_unsupervised import MAX_PROPOSALS, UnsupervisedScorer, pair_scores
from vosplug.utils.errors import DataError
from vosplug.utils.masks import read_mask

from .. import brute_force


@given(height=st.integers(2, 20), width=st.integers(2, 20), seed=st.integers(0, 10**6))
@settings(max_examples=80, deadline=None)
def test_pair_scores_are_the_rule(height, width, seed):
    prediction, reference = brute_force.shapes(height, width, seed), brute_force.shapes(height, width, seed + 1)
    void = brute_force.shapes(height, width, seed + 2) == 2
    reference[void] = 255
    got = pair_scores(prediction, reference, 3, 2)
    for p, k in itertools.product((1, 2, 3), (1, 2)):
        masks = (prediction == p) & ~void, reference == k
        assert got[0, p - 1, k - 1] == brute_force.jaccard(*masks)
        assert got[1, p - 1, k - 1] == brute_force.f_measure(*masks)


def test_pairs_agree_with_the_scores_of_one_object():
    prediction, reference = brute_force.shapes(120, 160, 5), brute_force.shapes(120, 160, 8)
    got = pair_scores(prediction, reference, 3, 3)
    for k, scores in enumerate(davis.frame_scores(prediction, reference, (1, 2, 3))):
        assert tuple(got[:, k, k]) == scores


def test_assignment_undoes_a_permutation():
    reference = np.zeros((30, 40), np.uint8)
    reference[2:9, 3:12], reference[12:20, 5:30], reference[22:28, 25:39] = 1, 2, 3
    prediction = np.array([0, 7, 2, 5], np.uint8)[reference]
    scorer = UnsupervisedScorer("s", reference)
    for frame in ("a", "b"):
        scorer.add(frame, prediction, reference)
    result = scorer.result()
    assert {k: v["proposal"] for k, v in result["objects"].items()} == {"1": 7, "2": 2, "3": 5}
    assert davis.global_scores({"s": result})["J&F-Mean"] == 1.0
    assert result["frames"] == ["a", "b"]


def test_fewer_proposals_than_objects_are_padded_with_empty_ones():
    reference = np.zeros((20, 20), np.uint8)
    reference[:5, :5], reference[10:15, 10:15] = 1, 2
    scorer = UnsupervisedScorer("s", reference)
    scorer.add("a", (reference == 2).astype(np.uint8), reference)
    objects = scorer.result()["objects"]
    assert objects["2"]["J"] == [1.0] and objects["2"]["proposal"] == 1
    assert objects["1"]["J"] == [0.0] and objects["1"]["proposal"] == 2


def test_too_many_proposals_are_refused():
    reference = np.ones((5, 5), np.uint8)
    scorer = UnsupervisedScorer("s", reference)
    with pytest.raises(DataError, match=r"s, frame a: the prediction has id 21, but at most 20 proposals"):
        scorer.add("a", reference * (MAX_PROPOSALS + 1), reference)
    with pytest.raises(DataError, match="no frame is left"):
        scorer.result()
    with pytest.raises(DataError, match="no object"):
        UnsupervisedScorer("s", reference * 255)


@pytest.mark.shared
def test_real_masks_have_the_official_numbers(shared):
    folder = shared / "golden/davis_metric/unsupervised"
    expected = json.loads((folder / "expected.json").read_text())
    results = {}
    for name, entry in expected["sequences"].items():
        masks = folder / "Annotations_unsupervised/480p" / name
        scorer = UnsupervisedScorer(name, read_mask(masks / f"{entry['frames'][0]}.png"))
        for frame in entry["frames"]:
            scorer.add(frame, read_mask(folder / "pred" / name / f"{frame}.png"), read_mask(masks / f"{frame}.png"))
        results[name] = scorer.result()
        for row, (proposal, number) in enumerate(entry["pairs_proposal_gt"], start=1):
            got = results[name]["objects"][str(number)]
            assert got["proposal"] == proposal
            for key, value in entry["objects"][str(row)].items():
                np.testing.assert_allclose(got[key], value, rtol=0, atol=1e-9)
    assert davis.global_scores(results) == pytest.approx(expected["global"], abs=1e-9)
