"""DavisMetric: streaming, merging, and agreement with the functions."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

from vosplug.evaluation.functional import davis
from vosplug.evaluation.metrics import DavisMetric
from vosplug.registry import METRICS
from vosplug.utils.errors import ConfigError, DataError, InputError

from .. import tiny


@pytest.fixture
def videos(tmp_path):
    return tiny.videos(tiny.davis_root(tmp_path, {"bear": 4, "ant": 5, "cow": 3}))


def run(metric, video, frames=None):
    metric.start(video)
    for index in range(len(video)) if frames is None else frames:
        reference = video.read_labels(index)
        metric.update(index, np.roll(reference, 3, axis=0), reference)
    return metric.finish()


def test_is_registered():
    metric = METRICS.build({"type": "DavisMetric", "protocol": "2016"})
    assert isinstance(metric, DavisMetric) and metric.protocol == "2016"
    with pytest.raises(ConfigError, match="expected one of 2017, 2016"):
        METRICS.build({"type": "DavisMetric", "protocol": "2015"})


def test_scores_all_frames_but_first_and_last(videos):
    metric = DavisMetric()
    result = run(metric, videos[0])
    expected = davis.SequenceScorer("ant", videos[0].read_labels(0))
    for index in (1, 2, 3):
        reference = videos[0].read_labels(index)
        expected.add(f"{index:05d}", np.roll(reference, 3, axis=0), reference)
    assert result == expected.result()
    assert metric.compute() == davis.global_scores({"ant": result})
    assert json.loads(json.dumps(metric.results())) == {"ant": result}


def test_numbers_do_not_depend_on_order_or_processes(videos):
    together, first, second = DavisMetric(), DavisMetric(), DavisMetric()
    for video in videos:
        run(together, video)
    run(first, videos[2])
    run(second, videos[1])
    run(second, videos[0])
    first.load_results(json.loads(json.dumps(second.results())))
    assert first.compute() == together.compute()
    assert list(first.results()) != list(together.results())
    first.load_results(together.results())
    changed = {"ant": {**together.results()["ant"], "frames": []}}
    with pytest.raises(DataError, match="video ant was scored twice with different results"):
        first.load_results(changed)


def test_without_reference_there_are_no_numbers(videos):
    metric = DavisMetric()
    video = videos[0].__class__(**{**videos[0].__dict__, "has_reference": False})
    metric.start(video)
    for index in range(len(video)):
        metric.update(index, video.read_labels(index), None)
    assert metric.finish() == {"objects": {}}
    assert metric.compute() is None
    console = Console(file=io.StringIO())
    metric.table(console)
    assert "all objects" not in console.file.getvalue()


def test_only_scored_frames_are_needed(videos):
    assert run(DavisMetric(), videos[0], frames=(1, 2, 3)) == run(DavisMetric(), videos[0])
    metric = DavisMetric()
    with pytest.raises(DataError, match=r"video ant: frame 00002 is scored but was not predicted.*\(1 such frames\)"):
        run(metric, videos[0], frames=(0, 1, 3, 4))
    assert run(metric, videos[0])["frames"] == ["00001", "00002", "00003"]


def test_faults_are_named(videos):
    metric = DavisMetric()
    with pytest.raises(InputError, match="before start"):
        metric.update(0, np.zeros(tiny.SIZE, np.uint8), None)
    with pytest.raises(InputError, match="before start"):
        metric.finish()
    metric.start(videos[0])
    reference = videos[0].read_labels(1)
    with pytest.raises(DataError, match=r"ant, frame 00001: the prediction has id 18"):
        metric.update(1, reference * 9, reference)
    with pytest.raises(DataError, match=r"ant, frame 00001: the prediction is 36x48 but the reference 48x36"):
        metric.update(1, reference.T, reference)
    with pytest.raises(InputError, match="there is no frame 5"):
        metric.update(5, reference, reference)
    metric.update(1, reference, reference)
    with pytest.raises(DataError, match="frame 00001 was given twice"):
        metric.update(1, reference, reference)


def test_protocol_2016_joins_the_objects(videos):
    metric = DavisMetric(protocol="2016")
    metric.start(videos[2])
    reference = videos[2].read_labels(1)
    metric.update(1, (reference > 0).astype(np.uint8), reference)
    assert metric.finish()["objects"]["1"]["J"] == [1.0]


def test_table_names_every_sequence_and_the_total(videos):
    metric = DavisMetric()
    for video in videos:
        run(metric, video)
    console = Console(file=io.StringIO(), width=40)
    metric.table(console)
    text = console.file.getvalue()
    assert all(name in text for name in ("ant", "bear", "cow", "all objects", *davis.KEYS))
    assert f"{metric.compute()['J&F-Mean']:.3f}" in text
