"""YouTubeVISMetric: streaming, joining of processes, faults, and the same numbers as the command."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco
from rich.console import Console

from tests.evaluation.tiny_vis import SIZE, plain_scores, random_case
from vosplug.evaluation.functional.youtube_vis import KEYS
from vosplug.registry import METRICS
from vosplug.structures import VISTrack, VISVideo
from vosplug.utils.errors import DataError, InputError


class Data:
    category_ids, classes = (1, 2, 3), ("cat", "dog", "duck")


def videos_of(content, reference=True):
    result = []
    for v in content["videos"]:
        size = v["height"], v["width"]
        tracks = [VISTrack(a["id"], a["category_id"], "", a["segmentations"], size, crowd=bool(a["iscrowd"]))
                  for a in content["annotations"] if a["video_id"] == v["id"]]
        result.append(VISVideo(v["id"], f"v{v['id']}", [Path(n) for n in v["file_names"]], size,
                               tracks if reference else (), reference))
    return result


def run(metric, videos, results):
    metric.use_dataset(Data)
    for video in videos:
        metric.start(video)
        for result in results:
            if result["video_id"] == video.id:
                metric.add_tracks([result])
        metric.finish()
    return metric


@pytest.mark.parametrize("agnostic", [False, True])
def test_streaming_in_two_processes_gives_the_numbers_of_plain_loops(agnostic):
    content, results = random_case(4)
    videos, options = videos_of(content), {"type": "YouTubeVISMetric", "class_agnostic": agnostic}
    metric, other = METRICS.build(options), METRICS.build(options)
    run(metric, videos[2:], results)
    metric.load_results(json.loads(json.dumps(run(other, videos[:2], results).results())))
    expected = plain_scores(content["annotations"], results, range(1, 5), [1, 2, 3], agnostic)
    assert tuple(metric.compute()) == metric.keys == KEYS
    assert metric.compute() == pytest.approx(expected, abs=1e-12)
    assert metric.predictions() == sorted(
        [{k: r[k] for k in ("video_id", "category_id", "score", "segmentations")} for r in results],
        key=lambda r: r["video_id"])
    console = Console(file=io.StringIO())
    metric.table(console)
    text = console.file.getvalue()
    assert f"{expected['AP']:.3f}" in text and ("cat" in text.split("all")[0].replace("category", "")) != agnostic


def test_without_reference_there_are_tracks_but_no_numbers():
    content, results = random_case(4)
    metric = run(METRICS.build({"type": "YouTubeVISMetric"}), videos_of(content, reference=False), results)
    assert metric.compute() is None and len(metric.predictions()) == len(results)
    console = Console(file=io.StringIO())
    metric.table(console)


def test_numpy_values_and_bytes_become_plain():
    content, _ = random_case(4)
    video = videos_of(content)[0]
    packed = coco.encode(np.asfortranarray(np.ones(SIZE, np.uint8)))
    metric = METRICS.build({"type": "YouTubeVISMetric"})
    metric.start(video)
    metric.add_tracks([{"category_id": np.int64(1), "score": np.float32(0.5), "segmentations": [packed, None, None]}])
    assert json.loads(json.dumps(metric.finish()))["tracks"][0]["segmentations"][0]["size"] == list(SIZE)


@pytest.mark.parametrize(("change", "message"), [
    ({"score": float("inf")}, "video v1, track 0: score must be a finite number"),
    ({"category_id": 7}, "category_id 7 is not one of the data set; known: 1, 2, 3"),
    ({"segmentations": [None]}, "1 segmentations, but the video has 3 frames"),
    ({"segmentations": [{"size": [24, 40], "counts": "zz"}, None, None]}, "video v1, track 0, frame 0: bad run"),
])
@pytest.mark.parametrize("reference", [False, True])
def test_faults_are_named(change, message, reference):
    metric = METRICS.build({"type": "YouTubeVISMetric"})
    metric.use_dataset(Data)
    metric.start(videos_of(random_case(4)[0], reference)[0])
    with pytest.raises(DataError, match=message):
        metric.add_tracks([{"category_id": 1, "score": 1.0, "segmentations": [None] * 3, **change}])
        metric.finish()


def test_the_order_of_calls():
    metric = METRICS.build({"type": "YouTubeVISMetric"})
    for call in (lambda: metric.add_tracks([]), metric.finish):
        with pytest.raises(InputError, match=r"before start\(video\)"):
            call()
    metric.start(videos_of(random_case(4)[0])[0])
    with pytest.raises(InputError, match="call add_tracks"):
        metric.update(0, np.zeros(SIZE, np.uint8), None)
    with pytest.raises(DataError, match="'score' is missing"):
        metric.add_tracks([{"category_id": 1, "segmentations": [None] * 3}])
