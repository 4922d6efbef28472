"""YouTubeVOSMetric: streaming, seen categories, and the stored numbers through the data set."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

from vosplug.evaluation.metrics import YouTubeVOSMetric
from vosplug.registry import METRICS
from vosplug.structures import Video
from vosplug.utils.errors import ConfigError, DataError
from vosplug.utils.masks import read_mask

from .. import tiny


@pytest.fixture
def video(tmp_path):
    masks = sorted((tiny.youtube_vos_root(tmp_path) / "Annotations/v1").glob("*.png"))
    return Video(name="v1", image_paths=masks, mask_paths=masks, prompts={0: (1,), 1: (2,)},
                 categories={1: "dog", 2: "duck"}, first_frames={1: 0, 2: 1}, has_reference=True,
                 required_frames={1: (0, 1, 2, 3), 2: (1, 2, 3)})


def run(metric, video, frames=(0, 1, 2, 3)):
    metric.start(video)
    for index in frames:
        metric.update(index, np.roll(video.read_labels(index), 1, axis=1), video.read_labels(index))
    return metric.finish()


def test_objects_are_scored_after_their_first_frame(video):
    metric = METRICS.build({"type": "YouTubeVOSMetric", "seen": ["dog"]})
    result = run(metric, video)
    assert result["objects"]["1"]["frames"] == ["00005", "00010", "00015"]
    assert result["objects"]["2"]["frames"] == ["00010", "00015"]
    scores = metric.compute()
    assert tuple(scores) == metric.keys
    assert scores["J_unseen"] == result["objects"]["2"]["J-Mean"]
    other = YouTubeVOSMetric(seen=["dog"])
    other.load_results(json.loads(json.dumps(metric.results())))
    assert other.compute() == scores
    console = Console(file=io.StringIO())
    metric.table(console)
    assert all(word in console.file.getvalue() for word in ("v1 / 2", "duck", "unseen", f"{scores['G']:.3f}"))


def test_seen_categories_come_from_the_argument_or_the_data_set(video):
    class Data:
        seen_categories = frozenset({"duck"})

    given, taken, none = YouTubeVOSMetric(seen=["dog"]), YouTubeVOSMetric(), YouTubeVOSMetric()
    for metric in (given, taken):
        metric.use_dataset(Data())
        run(metric, video)
    assert given.compute()["J_seen"] == taken.compute()["J_unseen"]
    run(none, video)
    with pytest.raises(ConfigError, match="does not know which categories are seen"):
        none.compute()


def test_faults_are_named(video):
    metric = YouTubeVOSMetric(seen=["dog"])
    with pytest.raises(DataError, match=r"video v1: frame 00010 is scored but was not predicted"):
        run(metric, video, frames=(0, 1, 3))
    metric.start(video)
    with pytest.raises(DataError, match=r"v1, frame 00005: the prediction has id 3, .* only the ids 1, 2"):
        metric.update(1, np.full(tiny.SIZE, 3, np.uint8), video.read_labels(1))
    with pytest.raises(DataError, match="need the category and the required frames"):
        metric.start(Video(name="x", image_paths=["0.jpg"], mask_paths=[None], has_reference=True))
    assert metric.compute() is None


def test_without_reference_there_are_no_numbers():
    metric = YouTubeVOSMetric(seen=["dog"])
    metric.start(Video(name="x", image_paths=["0.jpg"], mask_paths=[None]))
    metric.update(0, np.zeros(tiny.SIZE, np.uint8), None)
    assert metric.finish() == {"objects": {}}
    assert metric.compute() is None


@pytest.mark.shared
def test_real_videos_have_the_stored_numbers(shared):
    from vosplug.datasets import YouTubeVOSDataset

    dataset = YouTubeVOSDataset(shared / "data/ytvos_mini", "valid")
    predictions = shared / "golden/ytvos_metric/pred/Annotations"
    metric = YouTubeVOSMetric()
    metric.use_dataset(dataset)
    for video in dataset.videos():
        metric.start(video)
        for index in video.output_frames:
            mask = read_mask(predictions / video.name / f"{video.frame_name(index)}.png")
            metric.update(index, mask, video.read_labels(index))
        metric.finish()
    expected = json.loads((shared / "golden/ytvos_metric/expected.json").read_text())["after_first"]["scores"]
    assert metric.compute() == pytest.approx(expected, abs=1e-9)
