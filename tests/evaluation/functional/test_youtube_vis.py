"""AP of tracks: stored numbers of the public code, plain loops, and small cases with known answers."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluation.tiny_vis import SIZE, pack, plain_scores, random_case, random_track, unpack
from vosplug.evaluation.functional.track_masks import mean_area, read_tracks
from vosplug.evaluation.functional.youtube_vis import (
    KEYS,
    category_scores,
    global_scores,
    match_group,
    score_video,
    threshold_scores,
    track_ious,
)
from vosplug.utils.errors import DataError


def results_of(content, results, agnostic=False):
    return [score_video([a for a in content["annotations"] if a["video_id"] == v["id"]],
                        [r for r in results if r["video_id"] == v["id"]], (v["height"], v["width"]), agnostic)
            for v in content["videos"]]


def box(top, bottom, left, right):
    mask = np.zeros(SIZE, bool)
    mask[top:bottom, left:right] = True
    return pack(mask)


def reference(*masks, **more):
    return {"category_id": 1, "segmentations": list(masks), **more}


def prediction(score, *masks, category=1):
    return {"category_id": category, "score": score, "segmentations": list(masks)}


@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(0, 3), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_overlap_is_that_of_the_pixels(seed, frames, first, second):
    rng = np.random.default_rng(seed)
    a, b = ([random_track(rng, frames, density=rng.random()) for _ in range(n)] for n in (first, second))
    pixels = [[np.stack([unpack(m) for m in track]) for track in tracks] for tracks in (a, b)]
    expected = [[(x & y).sum() / max(1, (x | y).sum()) for y in pixels[1]] for x in pixels[0]]
    assert np.array_equal(track_ious(a, b, SIZE), np.array(expected).reshape(first, second))
    for track, masks in zip(read_tracks(a, SIZE, ["a"] * first), pixels[0], strict=True):
        assert track.areas.tolist() == masks.sum(axis=(1, 2)).tolist()
        assert track.mean_area == mean_area(masks.sum(axis=(1, 2)).tolist())


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (33, 7)])
def test_odd_sizes(size):
    rng = np.random.default_rng(0)
    a, b = random_track(rng, 6, size), random_track(rng, 6, size)
    x, y = (np.stack([unpack(m, size) for m in track]) for track in (a, b))
    assert track_ious([a], [b], size)[0, 0] == (x & y).sum() / max(1, (x | y).sum())


def test_many_tracks_are_read_in_parts(monkeypatch):
    rng = np.random.default_rng(1)
    a, b = ([random_track(rng, 3) for _ in range(5)] for _ in range(2))
    whole = track_ious(a, b, SIZE)
    monkeypatch.setattr("vosplug.evaluation.functional.track_masks._CHUNK", 1)
    assert np.array_equal(track_ious(a, b, SIZE), whole)
    a[3][1] = {"size": list(SIZE), "counts": "~~"}
    with pytest.raises(DataError, match=r"prediction 3, frame 1: bad run lengths"):
        track_ious(a, b, SIZE)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("agnostic", [False, True])
def test_the_numbers_are_those_of_plain_loops(seed, agnostic):
    content, results = random_case(seed)
    scores = global_scores(results_of(content, results, agnostic))
    expected = plain_scores(content["annotations"], results, [v["id"] for v in content["videos"]], [1, 2, 3], agnostic)
    assert tuple(scores) == KEYS
    assert scores == pytest.approx(expected, abs=1e-12)


def test_results_may_go_through_a_file():
    results = results_of(*random_case(3))
    assert global_scores(json.loads(json.dumps(results))) == global_scores(results)


def test_perfect_missing_and_superfluous_tracks():
    mask = box(2, 12, 3, 13)
    target = reference(mask, None)
    assert global_scores([score_video([target], [prediction(0.5, mask, None)], SIZE)])["AP"] == pytest.approx(1)
    assert global_scores([score_video([target], [], SIZE)])["AP"] == 0
    assert global_scores([score_video([], [prediction(0.5, mask)], SIZE)]) is None
    assert global_scores([score_video([reference(mask, iscrowd=1)], [prediction(0.5, mask)], SIZE)])["AP"] == -1
    # A better scored false positive halves the precision of the only object.
    both = [prediction(0.5, mask, None), prediction(0.9, box(14, 20, 20, 30), None)]
    assert global_scores([score_video([target], both, SIZE)])["AP50"] == pytest.approx(0.5)
    assert global_scores([score_video([target], both, SIZE)])["AR1"] == 0


def test_of_equal_overlaps_the_later_reference_is_taken():
    mask = box(0, 10, 0, 10)
    regular, crowd = reference(mask), reference(mask, iscrowd=1)
    # Both references are the same mask: the first prediction takes the later one, the second the other.
    result = score_video([regular, regular], [prediction(0.9, mask), prediction(0.8, mask)], SIZE)
    assert global_scores([result])["AR100"] == 1
    # A regular reference goes first, whatever the order; what is left goes to the crowd, as often as it comes.
    predictions = [prediction(s, mask) for s in (0.9, 0.8, 0.7)]
    for references in ([crowd, regular], [regular, crowd]):
        assert global_scores([score_video(references, predictions, SIZE)])["AP"] == pytest.approx(1)


def test_an_overlap_of_exactly_a_threshold_is_enough():
    """Half of the reference, alone (IoU 0.5), and three quarters: 1 of 10 and 6 of 10 thresholds."""
    target = box(0, 8, 0, 10)
    for rows, hits in ((4, 1), (6, 6)):
        group = score_video([reference(target)], [prediction(0.9, box(0, rows, 0, 10))], SIZE)["groups"]["1"]
        assert group["ious"] == [[rows / 8]]
        assert match_group(group).matched[0, :, 0].tolist() == [True] * hits + [False] * (10 - hits)


def test_one_hundred_predictions_count():
    mask, other = box(0, 10, 0, 10), box(12, 20, 20, 30)
    wrong = [prediction(0.9, other)] * 100
    result = score_video([reference(mask)], [prediction(0.1, mask), *wrong], SIZE)
    assert len(result["groups"]["1"]["scores"]) == 100 and global_scores([result])["AR100"] == 0
    assert global_scores([score_video([reference(mask)], [prediction(0.1, mask), *wrong[1:]], SIZE)])["AR100"] == 1


def test_areas_of_the_file_decide_the_range():
    mask = box(0, 10, 0, 10)
    for area, key in ((100, "APs"), (128**2, "APs"), (128**2, "APm"), (256**2, "APl")):
        scores = global_scores([score_video([reference(mask, areas=[area])], [prediction(1, mask)], SIZE)])
        assert scores[key] == pytest.approx(1), key
    assert scores["APs"] == -1


def test_plain_run_lengths_and_polygons_of_references():
    mask = box(0, 10, 0, 10)
    runs = {"size": list(SIZE), "counts": [0, *([10, 14] * 10), 24 * 30]}
    runs["counts"][-2:] = [24 * 30 + 14]
    polygon = [[0, 0, 10, 0, 10, 10, 0, 10]]
    assert track_ious([[mask]] * 2, [[runs], [polygon]], SIZE).tolist() == [[1, 1]] * 2
    with pytest.raises(DataError, match="prediction 0, frame 0: polygons are not accepted in results"):
        track_ious([[polygon]], [[mask]], SIZE)


@pytest.mark.parametrize(("counts", "message"), [
    ("", "empty"), ("0", "cover 0 pixels, the picture has 960"), ("PP", "cut short"), ("a\x01", "cannot occur"),
    ("aé", "cannot occur"), ("PPPPPPPPPP0", "too large"), ([960.5], "whole numbers"),
    ([961], "cover 961"), (7, "must be a string or a list"), ([1000, -40], "whole numbers"),
])
def test_bad_run_lengths_are_named(counts, message):
    with pytest.raises(DataError, match=message) as caught:
        track_ious([[None, {"size": list(SIZE), "counts": counts}]], [], SIZE)
    assert str(caught.value).startswith("prediction 0, frame 1: ")


def test_the_first_character_that_cannot_occur_is_in_the_second_picture():
    good = box(0, 10, 0, 10)
    with pytest.raises(DataError, match="cannot occur") as caught:
        track_ious([[good, {"size": list(SIZE), "counts": "p0"}]], [], SIZE)  # 'p' is the first one that is too high
    assert str(caught.value).startswith("prediction 0, frame 1: ")


def test_runs_below_zero_are_refused():
    # 100, 10, -5, ... : the sum is right, so only the sign tells.
    def write(numbers):
        text = ""
        for k, run in enumerate(numbers):
            value = run - (numbers[k - 2] if k > 2 else 0)
            while True:
                group, value = value & 31, value >> 5
                done = value == (-1 if group & 16 else 0)
                text += chr(48 + group + (0 if done else 32))
                if done:
                    break
        return text

    with pytest.raises(DataError, match="less than 0 pixels"):
        track_ious([[{"size": list(SIZE), "counts": write([100, 10, -5, 3, 852])}]], [], SIZE)
    good = {"size": list(SIZE), "counts": write([100, 10, 5, 3, 842])}
    assert track_ious([[good]], [[good]], SIZE).tolist() == [[1]]


@pytest.mark.parametrize("size", [[24], [40, 24], "24x40", None])
def test_wrong_sizes_are_named(size):
    with pytest.raises(DataError, match=r"size of the run lengths is .* but the video is \[24, 40\]"):
        track_ious([[{"size": size, "counts": "x"}]], [], SIZE)


@pytest.mark.shared
@pytest.mark.parametrize("agnostic", [False, True])
def test_stored_numbers_of_the_public_code(shared, agnostic):
    folder = shared / "golden/ytvis_metric"
    content, predictions, expected = (json.loads((folder / f"{name}.json").read_text())
                                      for name in ("annotations", "results", "expected"))
    results = results_of(content, predictions, agnostic)
    wanted = expected["segm_class_agnostic" if agnostic else "segm"]
    assert len(wanted) == len(KEYS) and global_scores(results) == pytest.approx(wanted, abs=1e-9)
    if agnostic:
        return
    names = {str(c["id"]): c["name"] for c in content["categories"]}
    found = {names[key]: values for key, values in category_scores(results).items()}
    assert set(found) == set(expected["per_category"])
    for name, values in expected["per_category"].items():
        assert {key: found[name][key] for key in values} == pytest.approx(values, abs=1e-9)
    assert threshold_scores(results) == pytest.approx(expected["per_iou_threshold_AP"], abs=1e-9)
    for key, matrix in expected["track_iou_detections_by_score_x_reference"].items():
        video, category = key.split(",")
        assert np.allclose(results[int(video) - 1]["groups"][category]["ious"], matrix, atol=1e-9, rtol=0)
