"""The data sets read what the writer writes."""

import numpy as np
import pytest

from vosplug.datasets.synthetic import SyntheticOptions, SyntheticVideo
from vosplug.datasets.synthetic.writer import write_dataset
from vosplug.registry import DATASETS

OPTIONS = SyntheticOptions(textures=24, objects=(2, 3), late=0.8)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("synthetic") / "set"
    return out, write_dataset(out, videos=3, val=2, size=(64, 96), frames=11, seed=5, options=OPTIONS)


def rendered(record) -> list:
    task = record.task
    return list(SyntheticVideo(task.seed, task.num_frames, task.size, task.options).frames())


def test_davis(made):
    out, records = made
    videos = DATASETS.build(dict(type="DavisDataset", data_root=str(out / "davis"), split="val")).videos()
    assert [v.name for v in videos] == [r.task.name for r in records[1:]]
    for video, record in zip(videos, records[1:], strict=True):
        assert video.prompts == {0: record.davis_ids}
        for t, (frame, labels) in enumerate(rendered(record)):
            expected = np.where(np.isin(labels, record.davis_ids), labels, 0)
            assert np.array_equal(video.read_labels(t), expected)
            assert np.abs(video.read_frame(t).astype(int) - frame).mean() < 6


def test_youtube_vos(made):
    out, records = made
    data = DATASETS.build(dict(type="YouTubeVOSDataset", data_root=str(out / "youtube_vos"), split="valid"))
    for video, record in zip(data.videos(), records[1:], strict=True):
        frames = rendered(record)
        assert video.categories == {i: record.categories[i] for i in record.vos_frames}
        assert {i: 5 * first for i, first in video.first_frames.items()} == {
            i: numbers[0] for i, numbers in record.vos_frames.items()}
        for index in range(len(video)):
            labels = frames[5 * index][1]
            known = [i for i, first in video.first_frames.items() if first <= index]
            assert np.array_equal(video.read_labels(index), np.where(np.isin(labels, known), labels, 0))
