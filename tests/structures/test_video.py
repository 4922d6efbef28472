import numpy as np
import pytest

from vosplug.structures import Video
from vosplug.utils.errors import DataError
from vosplug.utils.images import write_image
from vosplug.utils.masks import write_mask


@pytest.fixture
def files(tmp_path):
    """Two frames (8, 10); a reference and a prompt mask that differ; a mask that is one column too narrow."""
    for k in range(2):
        write_image(tmp_path / f"{k:05d}.jpg", np.full((8, 10, 3), 90, np.uint8))
    for name, value, width in (("reference", 1, 10), ("prompt", 3, 10), ("narrow", 2, 9)):
        labels = np.zeros((8, width), np.uint8)
        labels[2:5, 2:] = value
        labels[0, 0] = 5
        write_mask(tmp_path / f"{name}.png", labels)
    return tmp_path


def video(files, masks, **options):
    return Video("v", [files / "00000.jpg", files / "00001.jpg"], [m and files / f"{m}.png" for m in masks], **options)


def test_reads_frames_and_masks(files):
    result = video(files, ["reference", None], prompts={0: (1,)})
    assert result.read_frame(1).shape == (8, 10, 3)
    assert result.ids_in(0) == [1, 5]
    assert result.ids_in(1) == []
    assert result.frame_name(1) == "00001"
    assert set(np.unique(result.read_prompt(0))) == {0, 1}
    assert result.read_prompt(1) is None


def test_a_prompt_may_come_from_another_file(files):
    result = video(files, [None, None], prompts={1: (3,)}, prompt_paths={1: files / "prompt.png"})
    assert set(np.unique(result.read_prompt(1))) == {0, 3}
    assert result.read_labels(1) is None
    assert result.prompt_ids() == [3]


def test_a_mask_of_another_size_is_refused(files):
    with pytest.raises(DataError, match="9 x 8 but its picture 10 x 8"):
        video(files, ["narrow", None]).read_labels(0)


def test_a_mask_of_another_size_is_resized_with_a_warning_if_asked(files):
    with pytest.warns(UserWarning, match="resized"):
        labels = video(files, ["narrow", None], resize_masks=True).read_labels(0)
    assert labels.shape == (8, 10)
    assert set(np.unique(labels)) == {0, 2, 5}


@pytest.mark.parametrize(("masks", "options", "message"), [
    (["reference"], {}, "2 images but 1 mask"),
    ([None, None], {"prompts": {0: (1,)}}, "frame 0 starts objects but has no mask"),
])
def test_inconsistent_videos_are_refused(files, masks, options, message):
    with pytest.raises(DataError, match=message):
        video(files, masks, **options)


def test_a_video_needs_frames():
    with pytest.raises(DataError, match="no frames"):
        Video("v", [], [])
