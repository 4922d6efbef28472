"""The evaluation path: sessions, metric, files, several processes."""

import json
import pickle

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from tests.inference.colour_segmentor import ColourSegmentor, moving_squares
from vosplug.evaluation.evaluator import share_of
from vosplug.evaluation.families import evaluate_videos
from vosplug.evaluation.metrics import DavisMetric, YouTubeVOSMetric
from vosplug.evaluation.vos_evaluator import VOSEvaluator
from vosplug.inference.baselines import Baseline
from vosplug.structures import Video, VideoDataset
from vosplug.utils.errors import DataError, InputError, OutputError
from vosplug.utils.images import write_image
from vosplug.utils.masks import read_mask, write_mask


class Videos(VideoDataset):
    """A list of videos."""

    metric = "DavisMetric"

    def __init__(self, videos, seen=("square",)):
        self.items = videos
        self.seen_categories = frozenset(seen)

    def videos(self):
        return self.items


def write_video(folder, name, frames, **fields):
    """Write frames and masks as PNG; return the video."""
    images, masks = [], []
    for t, (image, labels) in enumerate(moving_squares(frames=frames)):
        images.append(folder / name / f"{t:05d}.png")
        masks.append(folder / f"{name}_masks" / f"{t:05d}.png")
        write_image(images[-1], image)
        write_mask(masks[-1], labels)
    options = {"prompts": {0: (1, 2)}, "has_reference": True, **fields}
    return Video(name=name, image_paths=images, mask_paths=masks, **options)


@pytest.fixture
def videos(tmp_path):
    return [write_video(tmp_path, name, frames) for name, frames in (("a", 5), ("b", 8), ("c", 4))]


def test_scores_and_files(videos, tmp_path):
    out, show = tmp_path / "out", tmp_path / "show"
    model = ColourSegmentor().train()
    scores = evaluate_videos(model, Videos(videos), DavisMetric(), out_dir=out, show_dir=show, progress=False)
    assert scores["J&F-Mean"] == 1.0
    assert model.training
    np.testing.assert_array_equal(read_mask(out / "b" / "00007.png"), videos[1].read_labels(7))
    assert sorted(p.name for p in show.iterdir()) == ["a.mp4", "b.mp4", "c.mp4"]
    saved = json.loads((out / "results.json").read_text())
    assert saved["scores"] == scores
    assert set(saved["videos"]) == {"a", "b", "c"}
    assert json.loads((out / "results" / "a.json").read_text()) == saved["videos"]["a"]


def test_the_speed_and_the_frames_are_counted(videos):
    evaluator = VOSEvaluator(ColourSegmentor(), progress=False)
    evaluator.run(Videos(videos), None)
    assert evaluator.frames == 17
    assert evaluator.fps > 0


def test_baselines_run_on_the_same_path(videos):
    copy = evaluate_videos(Baseline("copy"), Videos(videos), DavisMetric(), progress=False)
    flow = evaluate_videos(Baseline("flow"), Videos(videos), DavisMetric(), progress=False)
    assert copy["J&F-Mean"] < 0.8 < flow["J&F-Mean"]


def test_objects_that_come_later_are_scored_on_their_frames(tmp_path):
    video = write_video(tmp_path, "late", 6, prompts={0: (1,), 3: (2,)}, output_frames=[1, 3, 4, 5],
                        required_frames={1: (0, 1, 4), 2: (3, 4, 5)}, first_frames={1: 0, 2: 3},
                        categories={1: "square", 2: "block"})
    out = tmp_path / "out"
    scores = evaluate_videos(ColourSegmentor(), Videos([video]), YouTubeVOSMetric(), out_dir=out, progress=False)
    assert scores["G"] == 1.0
    assert sorted(p.stem for p in (out / "late").iterdir()) == ["00001", "00003", "00004", "00005"]
    assert set(np.unique(read_mask(out / "late" / "00001.png"))) == {0, 1}
    assert set(np.unique(read_mask(out / "late" / "00003.png"))) == {0, 1, 2}


def test_without_references_there_are_masks_and_no_numbers(videos, tmp_path):
    unscored = write_video(tmp_path, "d", 3, has_reference=False)
    out = tmp_path / "out"
    metric = DavisMetric()
    assert evaluate_videos(ColourSegmentor(), Videos([*videos, unscored]), metric, out_dir=out, progress=False) is None
    assert len(list((out / "d").iterdir())) == 3
    assert not (out / "results.json").exists()
    assert set(metric.results()) >= {"a", "b", "c"}
    assert evaluate_videos(ColourSegmentor(), Videos(videos), None, progress=False) is None


def test_a_broken_video_loses_nothing_that_was_computed(videos, tmp_path):
    path = videos[0].image_paths[3]
    path.write_bytes(path.read_bytes()[:40])
    out = tmp_path / "out"
    with pytest.raises(DataError, match="00003.png"):
        evaluate_videos(ColourSegmentor(), Videos(videos), DavisMetric(), out_dir=out, progress=False)
    assert json.loads((out / "results" / "b.json").read_text())["objects"]
    assert not (out / "results" / "a.json").exists()
    assert len(list((out / "a").glob("*.png"))) == 3


def test_errors_name_the_video(videos, tmp_path):
    video = write_video(tmp_path, "twice", 4, prompts={0: (1, 2), 2: (1,)})
    with pytest.raises(InputError, match=r"video twice: .*object id 1, which is already tracked"):
        evaluate_videos(ColourSegmentor(), Videos([video]), None, progress=False)
    with pytest.raises(DataError, match="called a"):
        evaluate_videos(ColourSegmentor(), Videos([videos[0], videos[0]]), None, progress=False)
    with pytest.raises(DataError, match="no videos"):
        evaluate_videos(ColourSegmentor(), Videos([]), None, progress=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        evaluate_videos(ColourSegmentor(), Videos(videos), None, out_dir=tmp_path / "file", progress=False)


def test_the_longest_videos_are_shared_out_first(videos):
    names = [[v.name for v in share_of(videos, rank, 2)] for rank in range(2)]
    assert names == [["b"], ["a", "c"]]
    assert share_of(videos, 4, 5) == []


def work(rank, store, videos, broken, results):
    """One process of a group: evaluate sound videos, then some of which one is broken; write what came back."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    evaluator = VOSEvaluator(ColourSegmentor(smear=8.0), progress=False)
    answer = evaluator.run(Videos(videos), DavisMetric()), evaluator.frames
    try:
        evaluator.run(Videos(broken), DavisMetric())
    except DataError as error:
        answer = (*answer, str(error))
    results.joinpath(f"{rank}.pkl").write_bytes(pickle.dumps(answer))
    dist.destroy_process_group()


def test_two_processes_give_the_numbers_of_one_and_share_errors(videos, tmp_path):
    expected = evaluate_videos(ColourSegmentor(smear=8.0), Videos(videos), DavisMetric(), progress=False)
    broken = write_video(tmp_path, "broken", 5)
    broken.image_paths[3].unlink()
    mp.spawn(work, args=(tmp_path / "store", videos, [videos[0], broken], tmp_path), nprocs=2)
    for rank in range(2):
        scores, frames, error = pickle.loads((tmp_path / f"{rank}.pkl").read_bytes())
        assert (scores, frames) == (expected, 17)
        assert "00003.png" in error
