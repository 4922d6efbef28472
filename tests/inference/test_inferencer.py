"""Videos in a few lines of Python."""

import json

import numpy as np
import pytest
from mmengine.config import Config

from tests.inference.colour_segmentor import ColourSegmentor, moving_squares
from vosplug.inference import FolderReader, VideoReader, VOSInferencer, build_segmentor
from vosplug.inference.baselines import Baseline
from vosplug.inference.mask_source import MaskSource
from vosplug.inference.readers import Frame
from vosplug.utils.checkpoint import save_checkpoint_file
from vosplug.utils.errors import CheckpointError, ConfigError, DataError, InputError
from vosplug.utils.images import write_image
from vosplug.utils.masks import read_mask, write_mask
from vosplug.utils.notices import collected

CLIP = list(moving_squares())


@pytest.fixture
def clip(tmp_path):
    """A folder of frames, and one of masks: object 1 starts at the first frame, object 2 at the fourth."""
    for t, (image, labels) in enumerate(CLIP):
        write_image(tmp_path / "images" / f"f{t}.png", image)
        if t in (0, 3):
            write_mask(tmp_path / "masks" / f"f{t}.png", np.where(labels == (1 if t == 0 else 2), labels, 0))
    return tmp_path


def expected(t):
    return CLIP[t][1] if t >= 3 else np.where(CLIP[t][1] == 1, 1, 0)


def test_all_outputs_at_once(clip):
    seen = []
    summary = VOSInferencer(ColourSegmentor())(
        clip / "images", clip / "masks", out=[clip / "o", clip / "o.mp4", clip / "o.json"],
        on_frame=lambda frame, labels: seen.append(frame.name))
    assert (summary.frames, summary.size, summary.ids) == (6, (40, 60), (1, 2))
    assert summary.fps > 0
    assert seen == [f"f{t}" for t in range(6)]
    for t in range(6):
        np.testing.assert_array_equal(read_mask(clip / "o" / f"f{t}.png"), expected(t))
    assert len(list(VideoReader(clip / "o.mp4"))) == 6
    assert [sorted(f["objects"]) for f in json.loads((clip / "o.json").read_text())["frames"]] == [["1"]] * 3 + \
        [["1", "2"]] * 3


def test_streaming_from_arrays():
    model = ColourSegmentor()
    frames = [image for image, _ in CLIP]
    segment = VOSInferencer(model, session_options={"flip": True})
    for frame, labels in segment.stream(frames, {0: np.where(CLIP[0][1] == 1, 1, 0), "00003": CLIP[3][1] // 2 * 2}):
        np.testing.assert_array_equal(labels, expected(frame.index))
    assert len([call for call in model.calls if call[0] != "last"]) == 12


def test_baselines_can_be_used():
    labels = [labels for _, labels in VOSInferencer(Baseline("copy")).stream([CLIP[0][0], CLIP[1][0]], CLIP[0][1])]
    np.testing.assert_array_equal(labels[1], CLIP[0][1])


def test_the_last_frame_of_a_folder_is_known(clip):
    model = ColourSegmentor()
    list(VOSInferencer(model).stream(clip / "images", clip / "masks"))
    assert [call[1] for call in model.calls if call[0] == "last"] == [False] * 5 + [True]


def test_what_was_segmented_before_an_error_is_kept(clip):
    (clip / "images" / "f4.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"f4.png"):
        VOSInferencer(ColourSegmentor())(clip / "images", clip / "masks", out=[clip / "o", clip / "o.json"])
    assert sorted(p.stem for p in (clip / "o").iterdir()) == ["f0", "f1", "f2", "f3"]
    assert len(json.loads((clip / "o.json").read_text())["frames"]) == 4


def test_config_and_checkpoint(root, tmp_path):
    config = Config.fromfile(root / "configs" / "_base_" / "stcn_small_model.py")
    config.test_session = {"max_short_side": 32}
    save_checkpoint_file({"state_dict": build_segmentor(config, seed=1).state_dict()}, tmp_path / "w.pth")
    first = VOSInferencer(config, tmp_path / "w.pth", device="cpu")
    assert first.session_options == {"max_short_side": 32}
    clip = list(moving_squares(frames=3, size=(64, 96)))
    results = [[labels for _, labels in segment.stream([image for image, _ in clip], clip[0][1])] for segment in
               (first, VOSInferencer(build_segmentor(config, seed=1), session_options={"max_short_side": 32}))]
    np.testing.assert_array_equal(results[0], results[1])
    assert results[0][2].shape == (64, 96)
    with pytest.raises(CheckpointError, match="not found"):
        VOSInferencer(config, tmp_path / "missing.pth")
    with pytest.raises(ConfigError, match="no 'model'"):
        build_segmentor({})


def test_bad_calls(clip):
    with pytest.raises(InputError, match="needs a checkpoint"):
        VOSInferencer({"model": {}})
    with pytest.raises(InputError, match="takes no checkpoint"):
        VOSInferencer(ColourSegmentor(), "weights.pth")
    segment = VOSInferencer(ColourSegmentor())
    for mask, error, message in [(clip / "none.png", DataError, "mask not found"), (clip, DataError, "has no masks"),
                                 (3.5, InputError, "got float"), ({1.5: "x"}, InputError, "the key 1.5"),
                                 ({0: str(clip / "no.png")}, DataError, "mask of frame 0 not found")]:
        with pytest.raises(error, match=message):
            segment(clip / "images", mask, out=clip / "out")
        assert not (clip / "out").exists()


def test_masks_by_name_and_by_number():
    masks = [np.full((4, 4), value, np.uint8) for value in range(1, 4)]
    source = MaskSource({"7": masks[0], "f2": masks[1], 3: masks[2]})
    frame = Frame(7, "00007", None)
    assert source.get(frame, (), named=True) is None  # a folder has names: "7" is not "00007"
    assert source.get(frame, (), named=False)[0] is masks[0]
    assert source.get(Frame(0, "f2", None), (), named=True)[0] is masks[1]
    assert source.get(Frame(1, "f1", None), (), named=True) is None
    with collected() as said:
        source.warn_unused()
    assert list(said) == ["the mask for frame 3 was not used: the input has no such frame"]
    with pytest.raises(DataError, match="7 and 007 both stand for frame 7"):
        MaskSource({"7": masks[0], "007": masks[1]}).get(frame, (), named=False)


def test_ids_that_are_tracked_already(clip):
    both = {0: np.where(CLIP[0][1] == 1, 1, 0).astype(np.uint8), 3: CLIP[3][1]}
    segment = VOSInferencer(ColourSegmentor())
    with pytest.raises(InputError, match="object id 1, which is already tracked"):
        list(segment.stream(FolderReader(clip / "images"), both))
    results = [labels for _, labels in segment.stream(clip / "images", both, known_ids="skip")]
    np.testing.assert_array_equal(results[5], expected(5))
    turned = {0: CLIP[0][1], 3: np.array([0, 2, 1], np.uint8)[CLIP[3][1]]}  # from frame 3 on, 1 is what 2 was
    results = [labels for _, labels in segment.stream(clip / "images", turned, known_ids="correct")]
    np.testing.assert_array_equal(results[2], CLIP[2][1])
    for t in (3, 5):
        np.testing.assert_array_equal(results[t], np.array([0, 2, 1], np.uint8)[CLIP[t][1]])
    with pytest.raises(InputError, match="known_ids"):
        MaskSource(both, known_ids="maybe")


def test_foreground_masks(clip):
    write_mask(clip / "fg.png", np.where(CLIP[0][1] == 1, 255, 0))
    segment = VOSInferencer(ColourSegmentor())
    with pytest.raises(InputError, match="must be read as binary"):
        list(segment.stream(clip / "images", clip / "fg.png"))


@pytest.mark.shared
def test_judo_introduces_objects_and_has_a_narrow_mask(shared, caplog, tmp_path):
    judo = shared / "data" / "clips" / "judo"
    seen = {}
    summary = VOSInferencer(Baseline("copy"))(judo / "images", judo / "masks", out=tmp_path / "out",
                                              on_frame=lambda f, labels: seen.update({f.index: set(np.unique(labels))}))
    assert summary.frames == 16 and summary.ids == (1, 2, 3, 4)
    assert "480x853" in caplog.text
    assert all(seen[t] >= set(range(1, n + 1)) for t, n in ((0, 1), (4, 1), (5, 2), (8, 3), (13, 4)))
    assert seen[4] == {0, 1}
    assert read_mask(tmp_path / "out" / "00015.png").shape == (480, 854)


@pytest.mark.shared
def test_flow_follows_the_dog(shared):
    clips = shared / "data" / "clips"
    *_, (frame, labels) = VOSInferencer(Baseline("flow")).stream(clips / "dog.mp4", clips / "dog_first_mask.png")
    assert frame.index == 59
    reference = read_mask(clips / "dog_last_mask.png")
    assert ((labels == 1) & (reference == 1)).sum() / ((labels == 1) | (reference == 1)).sum() > 0.3
