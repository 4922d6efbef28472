"""Seen and unseen scores: the rule on small masks, and the stored numbers."""

import json

import numpy as np
import pytest

from vosplug.evaluation.functional import davis, youtube_vos
from vosplug.utils.errors import DataError
from vosplug.utils.masks import read_mask

from .. import brute_force


def test_an_object_is_scored_after_its_first_frame():
    required = {1: ("00000", "00005", "00010"), 4: ("00010", "00005"), 7: ("00005",)}
    assert youtube_vos.scored_frames(required) == {1: ["00005", "00010"], 4: ["00010"], 7: []}


def test_scores_are_means_over_frames_then_objects():
    references = {f: brute_force.shapes(30, 40, f) for f in range(4)}
    predictions = {f: brute_force.shapes(30, 40, f + 50) for f in range(4)}
    frames = youtube_vos.scored_frames({1: (0, 1, 2, 3), 3: (2, 3), 2: (3,)})
    scorer = youtube_vos.VideoScorer("v", {1: "dog", 2: "cat", 3: "horse"}, frames)
    assert scorer.frames == [1, 2, 3]
    for f in scorer.frames:
        scorer.add(f, f"{f:05d}", predictions[f], references[f])
    result = scorer.result()
    assert set(result["objects"]) == {"1", "3"}
    assert result["objects"]["3"]["frames"] == ["00003"]
    expected = [davis.frame_scores(predictions[f], references[f], (1,))[0] for f in (1, 2, 3)]
    assert list(zip(result["objects"]["1"]["J"], result["objects"]["1"]["F"], strict=True)) == expected
    scores = youtube_vos.global_scores({"v": result}, {"dog"})
    assert scores["J_seen"] == pytest.approx(np.mean([s[0] for s in expected]), abs=1e-15)
    assert scores["F_unseen"] == davis.frame_scores(predictions[3], references[3], (3,))[0][1]
    assert scores["G"] == pytest.approx(np.mean([v for k, v in scores.items() if k != "G"]), abs=1e-15)


def test_numbers_that_do_not_exist_are_left_out():
    entry = {"category": "dog", "frames": ["1"], "J": [0.5], "F": [0.7], "J-Mean": 0.5, "F-Mean": 0.7}
    results = {"v": {"objects": {"1": entry}}}
    assert youtube_vos.global_scores(results, {"dog"}) == {"J_seen": 0.5, "F_seen": 0.7}
    assert youtube_vos.global_scores(results, {"cat"}) == {"J_unseen": 0.5, "F_unseen": 0.7}
    assert youtube_vos.global_scores({"v": {"objects": {}}}, {"dog"}) is None


def test_faults_are_named():
    scorer = youtube_vos.VideoScorer("v", {1: "dog", 4: "cat"}, {1: [1], 4: [1]})
    labels = np.ones((4, 6), np.uint8)
    with pytest.raises(DataError, match=r"v, frame 00005: the prediction has id 2, .* only the ids 1, 4"):
        scorer.add(1, "00005", labels * 2, labels)
    with pytest.raises(DataError, match=r"frame 00005: the prediction is 6x4 but the reference 4x6"):
        scorer.add(1, "00005", labels, labels.T)


@pytest.mark.shared
def test_real_masks_have_the_stored_numbers(shared):
    root, folder = shared / "data/ytvos_mini/valid_reference", shared / "golden/ytvos_metric"
    meta = json.loads((root / "meta.json").read_text())["videos"]
    seen = json.loads((root / "seen_unseen.json").read_text())["seen"]
    expected = json.loads((folder / "expected.json").read_text())
    results = {}
    for name, video in meta.items():
        objects = {int(key): entry for key, entry in video["objects"].items()}
        frames = youtube_vos.scored_frames({k: v["frames"] for k, v in objects.items()})
        scorer = youtube_vos.VideoScorer(name, {k: v["category"] for k, v in objects.items()}, frames)
        for frame in scorer.frames:
            scorer.add(frame, frame, read_mask(folder / f"pred/Annotations/{name}/{frame}.png"),
                       read_mask(root / f"Annotations/{name}/{frame}.png"))
        results[name] = scorer.result()
    for key, entry in expected["per_frame"].items():
        name, number = key.split("/")
        got = results[name]["objects"][number]
        for frame, region, boundary in zip(got["frames"], got["J"], got["F"], strict=True):
            assert [region, boundary] == entry["per_frame"][frame]
        means = expected["after_first"]["objects"][key]
        assert {"J": got["J-Mean"], "F": got["F-Mean"]} == pytest.approx(means, abs=1e-9)
    scores = youtube_vos.global_scores(results, seen)
    assert scores == pytest.approx(expected["after_first"]["scores"], abs=1e-9)
