import json

import numpy as np
import pytest

from vosplug.datasets.youtube_vos_meta import TRAINING_CATEGORIES
from vosplug.registry import DATASETS
from vosplug.utils.errors import ConfigError, DataError

from .trees import youtube_tree


@pytest.fixture
def root(tmp_path):
    return youtube_tree(tmp_path)


def youtube(root, **options):
    return DATASETS.build({"type": "YouTubeVOSDataset", "data_root": str(root), **options})


def test_objects_start_where_meta_says(root):
    data = youtube(root)
    first, late = data.videos()
    assert data.metric == "YouTubeVOSMetric"
    assert first.prompts == {0: (1,)}
    assert late.prompts == {0: (1,), 2: (4,)}
    assert late.first_frames == {1: 0, 4: 2}
    assert late.required_frames == {1: (0, 1, 2, 3, 4), 4: (2, 3, 4)}
    assert late.categories == {1: "dog", 4: "goblin"}
    assert late.has_reference


def test_a_prompt_takes_only_the_objects_that_start(root):
    late = youtube(root).videos()[1]
    assert set(np.unique(late.read_prompt(2))) == {0, 4}
    assert late.ids_in(2) == [1, 4]
    assert "valid_reference" in str(late.mask_paths[2]) and "valid_reference" not in str(late.prompt_paths[2])


def test_without_reference_only_prompts_are_known(tmp_path):
    late = youtube(youtube_tree(tmp_path, reference=False)).videos()[1]
    assert not late.has_reference
    assert [path is not None for path in late.mask_paths] == [True, False, True, False, False]


def test_a_given_reference_folder(root, tmp_path):
    (root / "valid_reference").rename(tmp_path / "kept")
    assert not youtube(root).videos()[0].has_reference
    assert youtube(root, reference_root=str(tmp_path / "kept")).videos()[0].has_reference


@pytest.mark.parametrize("nested", [False, True])
def test_all_frames(root, nested):
    if nested:
        (root / "all_frames").mkdir()
        (root / "valid_all_frames").rename(root / "all_frames/valid_all_frames")
    late = youtube(root, split="valid_all_frames").videos()[1]
    assert len(late) == 21
    assert late.output_frames == [0, 5, 10, 15, 20]
    assert late.prompts == {0: (1,), 10: (4,)}
    assert late.has_reference


def test_training_videos(root):
    video = youtube(root, split="train").videos()[0]
    assert video.has_reference and video.prompts == {0: (1,)}
    assert all(video.mask_paths)


def test_a_folder_named_like_the_year(tmp_path):
    youtube_tree(tmp_path / "2018")
    assert len(youtube(tmp_path, year=2018)) == 2
    with pytest.raises(DataError, match="folder not found"):
        youtube(tmp_path, year=2019)


def test_seen_categories(root):
    assert len(set(TRAINING_CATEGORIES)) == 65
    assert youtube(root).seen_categories == set(TRAINING_CATEGORIES)
    (root / "seen_unseen.json").write_text('{"seen": ["goblin"], "unseen": ["dog"]}')
    assert youtube(root).seen_categories == {"goblin"}
    (root / "seen_unseen.json").write_text('{"sen": []}')
    with pytest.raises(DataError, match="seen"):
        youtube(root)


@pytest.mark.parametrize("options", [{"split": "val"}, {"year": 2020}, {"sequences": ["v3"]}])
def test_bad_options(root, options):
    with pytest.raises(ConfigError):
        youtube(root, **options)


def objects(root, change):
    path = root / "valid/meta.json"
    content = json.loads(path.read_text())
    change(content["videos"]["v1"])
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(("value", "message"), [
    ({}, "at least one object"),
    ({"x": {"frames": ["00000"]}}, "id must be"),
    ({"300": {"frames": ["00000"]}}, "id must be"),
    ({"1": {"frames": []}}, "at least one name"),
    ({"1": {"frames": [0]}}, "strings"),
    ({"1": {"frames": ["00005", "00000"]}}, "in order"),
    ({"1": {"frames": ["00000"], "category": 3}}, "category must be"),
    ({"1": ["00000"]}, "got list"),
])
def test_a_wrong_meta_is_refused(root, value, message):
    objects(root, lambda video: video.update(objects=value))
    with pytest.raises(DataError, match=message):
        youtube(root)


def test_broken_json_is_named_by_line(root):
    (root / "valid/meta.json").write_text('{"videos":\n {]')
    with pytest.raises(DataError, match="line 2"):
        youtube(root)


def test_a_frame_that_meta_lists_must_exist(root):
    (root / "valid/JPEGImages/v1/00010.jpg").unlink()
    with pytest.raises(DataError, match="lists frame 00010"):
        youtube(root).videos()


def test_a_missing_prompt_is_named(root):
    (root / "valid/Annotations/v2/00010.png").unlink()
    with pytest.raises(DataError, match="start at frame 00010, whose mask is missing"):
        youtube(root).videos()


@pytest.mark.shared
def test_reference_data(shared):
    for split, count in (("valid", 10), ("valid_all_frames", 50)):
        data = youtube(shared / "data/ytvos_mini", split=split)
        last = data.videos()[2]
        assert (last.name, len(last), last.prompt_ids()) == ("0b0d060005", count, [1, 4])
        assert [last.frame_name(i) for i in sorted(last.prompts)] == ["00000", "00010"]
        assert data.seen_categories == {"dog", "person", "sedan"}
    absent = youtube(shared / "data/ytvos_mini", split="train").videos()[1]
    assert absent.prompts == {1: (1,)} and absent.ids_in(0) == []
