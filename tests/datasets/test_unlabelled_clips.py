"""Clips of which nothing but the pictures, and at most one mask, is read."""

import cv2
import numpy as np
import pytest
import torch

from tests.datasets.trees import davis_tree, frame, put_image, youtube_tree
from vosplug.datasets import ClipRequest, MergedClips, MixedClips, StaticImageClips, UnlabelledClips, VideoClips
from vosplug.datasets.synthetic import SyntheticClips
from vosplug.structures import Video
from vosplug.utils.errors import ConfigError, DataError, InputError
from vosplug.utils.images import read_image
from vosplug.utils.masks import write_mask

PLAIN = dict(transforms=[dict(type="Resize", size=(48, 64))])


@pytest.fixture
def videos(tmp_path):
    """Pictures in a folder, in a folder ``images`` beside masks, and a video file."""
    root = tmp_path / "videos"
    for index in range(5):
        image, labels = frame(index)
        put_image(root / "plain" / f"{index:03d}.jpg", image)
        put_image(root / "inner" / "images" / f"{index:03d}.jpg", image)
        (root / "inner" / "masks").mkdir(exist_ok=True)
        write_mask(root / "inner" / "masks" / f"{index:03d}.png", labels)
    write_mask(root / "plain" / "mask.png", frame(0)[1])
    writer = cv2.VideoWriter(str(root / "film.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for t in range(6):
        writer.write(np.full((48, 64, 3), 40 * t, np.uint8))
    writer.release()
    return root


@pytest.fixture
def no_masks(monkeypatch):
    def refuse(*args, **options):
        raise AssertionError("a mask was opened")

    monkeypatch.setattr("PIL.Image.open", refuse)


def test_folders_and_files_are_videos(videos, no_masks):
    clips = UnlabelledClips(videos, reverse=0, jump_rule="distinct", **PLAIN)
    assert len(clips) == 3 and not clips.opens_masks and clips.label_free
    names = []
    for index in range(3):
        item = clips[ClipRequest(index, 3, length=4, max_skip=1)]
        sample = item["data_samples"]
        names.append(sample.video)
        assert item["inputs"].shape == (4, 3, 48, 64) and item["inputs"].dtype == torch.uint8
        assert sample.num_objects == 0 and (sample.labels == 255).all()
        numbers = [int(name) for name in sample.frame_names]
        assert numbers == list(range(numbers[0], numbers[0] + 4))
        if sample.video == "film":
            means = item["inputs"].float().mean(dim=(1, 2, 3))
            assert torch.allclose(means, torch.tensor([40.0 * n for n in numbers]), atol=3)
        else:
            folder = videos / ("plain" if sample.video == "plain" else "inner/images")
            image = read_image(folder / f"{numbers[2]:03d}.jpg")
            assert np.array_equal(item["inputs"][2].permute(1, 2, 0).numpy(), image)
    assert names == ["film", "inner", "plain"]
    same = clips[ClipRequest(1, 9)], clips[ClipRequest(1, 9)]
    assert torch.equal(same[0]["inputs"], same[1]["inputs"])


def test_sequences_by_name_and_by_list(videos, tmp_path):
    (tmp_path / "list.txt").write_text("plain\nfilm\n")
    assert len(UnlabelledClips(videos, sequences=["plain"], **PLAIN)) == 1
    assert len(UnlabelledClips(videos, sequences=str(tmp_path / "list.txt"), **PLAIN)) == 2
    with pytest.raises(ConfigError, match="has no sequence 'plane'. Did you mean 'plain'"):
        UnlabelledClips(videos, sequences=["plane"], **PLAIN)


def test_stills_are_clips_of_views(videos, no_masks):
    clips = UnlabelledClips(videos, stills=True, suffixes=(".jpg",), transforms="aot", size=33)
    assert len(clips) == 10
    item = clips[ClipRequest(0, 1, length=3)]
    assert item["inputs"].shape == (3, 3, 33, 33) and not torch.equal(item["inputs"][0], item["inputs"][1])
    assert item["data_samples"].video == "inner/images/000"
    with pytest.raises(ConfigError, match="'.txt' is not a suffix of pictures"):
        UnlabelledClips(videos, stills=True, suffixes=(".txt",))


class TestMasksOfFirstFrames:
    @pytest.fixture
    def davis(self, tmp_path):
        return dict(type="DavisDataset", data_root=str(davis_tree(tmp_path / "davis")), split="train")

    def test_start_the_objects(self, davis):
        clips = UnlabelledClips(videos=davis, **PLAIN)
        assert clips.opens_masks and clips.label_free
        for seed in range(5):
            sample = clips[ClipRequest(0, seed, length=3)]["data_samples"]
            assert sample.first_frames == (0, 0) and set(sample.ids) == {1, 2} and (sample.labels[1:] == 255).all()
            truth = frame(int(sample.frame_names[0]), (1, 2))[1]
            for slot, number in enumerate(sample.ids, start=1):
                assert np.array_equal(sample.labels[0].numpy() == slot, truth == number)
            assert set(np.unique(sample.labels[0].numpy())) == {0, 1, 2}

    def test_no_other_mask_is_opened(self, davis, monkeypatch):
        opened, plain = [], Video.read_labels
        monkeypatch.setattr(Video, "read_labels", lambda self, index: opened.append(index) or plain(self, index))
        clips = UnlabelledClips(videos=davis, **PLAIN)
        first = [clips[ClipRequest(0, seed, length=4)]["data_samples"].frame_names[0] for seed in range(4)]
        assert opened == [int(name) for name in first]

    def test_poisoned_masks_of_other_frames_change_nothing(self, davis, tmp_path):
        """What the crops and samplers of a pipeline see too."""
        clips = UnlabelledClips(videos=davis, transforms="aot", size=33, min_pixels=5)
        before = [clips[ClipRequest(0, seed, length=3)] for seed in range(4)]
        firsts = {int(item["data_samples"].frame_names[0]) for item in before}
        others = set(range(6)) - firsts
        assert others
        for index in others:
            write_mask(tmp_path / f"davis/Annotations/480p/alpha/{index:05d}.png", np.full((48, 64), 9, np.uint8))
        for seed, item in enumerate(before):
            again = clips[ClipRequest(0, seed, length=3)]
            assert torch.equal(item["inputs"], again["inputs"])
            assert torch.equal(item["data_samples"].labels, again["data_samples"].labels)

    def test_clips_begin_where_a_mask_is(self, tmp_path):
        root = davis_tree(tmp_path / "d", {"train": ["alpha"], "test-dev": ["hidden"]})
        hidden = dict(type="DavisDataset", data_root=str(root), split="test-dev")
        clips = UnlabelledClips(videos=hidden, retries=50, reverse=0, **PLAIN)
        assert {clips[ClipRequest(0, seed, length=2)]["data_samples"].frame_names[0] for seed in range(5)} == {"0"}

    def test_void_of_a_mask_stays_void_and_other_objects_become_background(self, davis, tmp_path):
        for index in range(6):
            labels = frame(index, (1, 2))[1]
            labels[40:, 50:] = 255
            write_mask(tmp_path / f"davis/Annotations/480p/alpha/{index:05d}.png", labels)
        sample = UnlabelledClips(videos=davis, max_objects=1, **PLAIN)[ClipRequest(0, 1)]["data_samples"]
        assert sample.num_objects == 1 and set(np.unique(sample.labels[0].numpy())) == {0, 1, 255}
        assert (sample.labels[0, 40:, 50:] == 255).all()

    def test_empty_masks_are_an_error(self, tmp_path):
        root = davis_tree(tmp_path / "davis")
        videos = dict(type="DavisDataset", data_root=str(root), split="train")
        clips = UnlabelledClips(videos=videos, **PLAIN)
        for path in (root / "Annotations").rglob("*.png"):
            write_mask(path, np.zeros((48, 64), np.uint8))
        with pytest.raises(DataError, match="no object was visible in the first frame of a clip, after 5 tries"):
            clips[ClipRequest(0, 0)]

    def test_youtube_vos(self, tmp_path):
        root = youtube_tree(tmp_path / "yt")
        videos = dict(type="YouTubeVOSDataset", data_root=str(root), split="train")
        sample = UnlabelledClips(videos=videos, skip_unit=5, **PLAIN)[ClipRequest(1, 0)]["data_samples"]
        assert sample.num_objects == 1 and (sample.labels[1:] == 255).all()


@pytest.mark.parametrize(("options", "message"), [
    (dict(), "needs data_root, a folder of videos, or videos"),
    (dict(data_root="x", videos=dict(type="DavisDataset", data_root="x")), "not both"),
    (dict(videos=dict(type="DavisDataset", data_root="x"), stills=True), "takes stills and sequences with data_root"),
    (dict(data_root="x", max_objects=0), "needs max_objects >= 1, got 0"), (dict(data_root="x", retries=0), "retries"),
    (dict(data_root="x", reverse=2), r"needs reverse in \[0, 1\]"),
    (dict(data_root="x", jump_rule="far"), "unknown jump rule 'far'"),
    (dict(data_root="x", transforms="aott"), "unknown transforms 'aott'. Did you mean 'aot'")])
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        UnlabelledClips(**options)


def test_wrong_folders_are_refused(tmp_path, videos):
    with pytest.raises(DataError, match="folder not found"):
        UnlabelledClips(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="has no videos. Expected layout: <video>/00000.jpg"):
        UnlabelledClips(tmp_path / "empty")
    with pytest.raises(DataError, match="has no pictures"):
        UnlabelledClips(tmp_path / "empty", stills=True)
    clips = UnlabelledClips(videos, **PLAIN)
    with pytest.raises(InputError, match="clip 3 is out of range"):
        clips[ClipRequest(3, 0)]
    with pytest.raises(ConfigError, match="the transforms make clips of"):
        UnlabelledClips(videos, size=(48, 60), **PLAIN)[ClipRequest(1, 0)]
    (videos / "film.avi").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"film.avi"):
        UnlabelledClips(videos)


def test_data_sets_say_whether_they_are_free_of_labels(tmp_path):
    davis = dict(type="DavisDataset", data_root=str(davis_tree(tmp_path / "davis")), split="train")
    image, labels = frame(0)
    put_image(tmp_path / "flat" / "a.jpg", image)
    write_mask(tmp_path / "flat" / "a.png", labels)
    stills, given = StaticImageClips(tmp_path / "flat"), UnlabelledClips(videos=davis)
    plain, complete = VideoClips(davis), VideoClips(davis, complete_first=True)
    assert plain.label_free and not complete.label_free and not VideoClips(davis, late_objects=True).label_free
    assert MergedClips(stills).label_free and MergedClips(MixedClips([stills, stills])).label_free
    assert not MergedClips(plain).label_free and not MergedClips(given).label_free
    assert not MergedClips(MixedClips([stills, given])).label_free
    assert MixedClips([plain, given]).label_free and not MixedClips([given, complete]).label_free
    assert MixedClips([SyntheticClips(), given]).opens_masks and MergedClips(stills).opens_masks
    assert not MixedClips([SyntheticClips(), UnlabelledClips(tmp_path / "davis/JPEGImages/480p")]).opens_masks
