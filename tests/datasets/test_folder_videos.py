import numpy as np
import pytest

from vosplug.registry import DATASETS
from vosplug.utils.errors import DataError
from vosplug.utils.masks import write_mask

from .trees import folder_tree, frame


@pytest.fixture
def root(tmp_path):
    return folder_tree(tmp_path)


def folder(root, **options):
    return DATASETS.build({"type": "FolderVideos", "data_root": str(root), **options})


def test_two_ways_to_lay_out_a_video(root):
    one, two = folder(root).videos()
    assert (one.name, len(one), one.prompts, one.first_frames) == ("one", 4, {0: (1,), 2: (2,)}, {1: 0, 2: 2})
    assert (two.name, len(two), two.prompts) == ("two", 4, {0: (1,)})
    assert set(np.unique(one.read_prompt(2))) == {0, 2}
    assert not one.has_reference


@pytest.mark.parametrize("name", ["one", "two"])
def test_a_single_video(root, name):
    (video,) = folder(root / name).videos()
    assert video.name == name
    assert len(video) == 4


def test_masks_of_all_frames_are_a_reference(root):
    for index in range(4):
        write_mask(root / f"one/masks/{index:05d}.png", frame(index, (1, 2))[1])
    (one,) = folder(root, sequences=["one"]).videos()
    assert one.has_reference and one.prompts == {0: (1, 2)}
    assert not folder(root, sequences=["one"], dense=False).videos()[0].has_reference
    with pytest.raises(DataError, match="frame 00001 has no mask"):
        folder(root, sequences=["two"], dense=True).videos()


def test_faults_are_named(root, tmp_path):
    write_mask(root / "one/masks/00009.png", frame(0)[1])
    with pytest.raises(DataError, match="00009.png has no frame"):
        folder(root).videos()
    (root / "two/mask.png").unlink()
    with pytest.raises(DataError, match="no mask with an object"):
        folder(root / "two").videos()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no videos"):
        folder(tmp_path / "empty")


def test_both_kinds_of_first_mask_are_refused(root):
    write_mask(root / "one/mask.png", frame(0)[1])
    with pytest.raises(DataError, match="both mask.png and masks/00000.png"):
        folder(root).videos()


@pytest.mark.shared
def test_reference_clips(shared):
    bike, judo = folder(shared / "data/clips").videos()
    assert bike.prompts == {0: (1, 2)}
    assert judo.prompts == {0: (1,), 5: (2,), 8: (3,), 13: (4,)}
    with pytest.warns(UserWarning, match="853 x 480"):
        assert judo.read_prompt(5).shape == (480, 854)
