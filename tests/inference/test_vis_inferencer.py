"""From a video to tracks, in Python."""

import json

import numpy as np
import pytest
from pycocotools import mask as coco

from tests.inference.fixed_tracks import BOXES, FixedTracks, pictures
from vosplug.inference import TrackWriter, VideoReader, VISInferencer, VISSession, open_track_writer
from vosplug.inference.readers import Frame, IterableReader
from vosplug.inference.vis_session import follow
from vosplug.utils.errors import ConfigError, DataError, InputError, OutputError
from vosplug.utils.images import write_image
from vosplug.utils.masks import read_mask

NAMES = ("cat", "dog", "fish")


def box_mask(track, size=(40, 60)):
    left, top, right, bottom = BOXES[track]
    mask = np.zeros(size, np.uint8)
    mask[top:bottom, left:right] = 1
    return mask


def test_tracks_scores_and_masks_of_a_video():
    model = FixedTracks()
    result = VISInferencer(model, classes=NAMES)(pictures(), min_score=0.3)
    assert (result.frames, result.size, result.ids, model.lengths) == (10, (40, 60), (1, 2), [4, 4, 2])
    assert result.seconds > 0 and result.fps > 0
    first, second = result.tracks
    assert (first["id"], first["category"], first["label"], first["frames"]) == (1, "fish", 2, 10)
    assert first["score"] == pytest.approx(0.9) and (first["first"], first["last"]) == (0, 9)
    assert second["category"] == "cat" and second["score"] == pytest.approx((4 * 0.6 + 6 * 0.2) / 10)
    for t in range(10):
        np.testing.assert_array_equal(coco.decode(first["segmentations"][t]), box_mask(0))
    low = VISInferencer(model)(pictures(), min_score=0.0)
    assert [t["category"] for t in low.tracks] == ["class 2", "class 0", "class 1"] and low.ids == (1, 2, 3)
    assert "segmentations" not in VISInferencer(model)(pictures(), keep_masks=False).tracks[0]


def test_ids_count_what_is_shown_and_a_renewed_track_is_a_new_one():
    find = VISInferencer(FixedTracks(scores=((0.9,), (0.2, 0.8), (0.1,)), renewed=2), classes=NAMES)
    seen = [{mask.id: (mask.category, mask.score) for mask in masks} for _, masks in find.stream(pictures())]
    assert seen[0] == seen[3] == {1: ("fish", pytest.approx(0.9))}
    assert seen[4] == seen[7] == {1: ("fish", pytest.approx(0.9)), 2: ("cat", pytest.approx(0.5))}  # the mean so far
    assert set(seen[8]) == {1, 3} and seen[8][3] == ("cat", pytest.approx(0.8))


def test_a_track_can_be_given_with_several_classes():
    session = VISSession(FixedTracks(), classes_per_track=2)
    for image in pictures():
        session.add(image)
    found = [(track["id"], track["label"], round(track["score"], 3)) for track in session.finish()]
    assert found[0] == (7, 2, 0.9) and found[1] == (8, 0, 0.36) and found[2] == (9, 1, 0.1)
    assert sorted(number for number, _, score in found[3:] if score == 0.01) == [7, 8, 9] and len(found) == 6
    shown = VISInferencer(FixedTracks(), session_options=dict(classes_per_track=9))(pictures(), min_score=0.0)
    assert [track["label"] for track in shown.tracks] == [2, 0, 1]  # what is shown has one name
    with pytest.raises(InputError, match="classes_per_track"):
        VISSession(FixedTracks(), classes_per_track=0)


def test_streaming_holds_one_clip():
    taken = []

    def frames():
        for t, image in enumerate(pictures()):
            taken.append(t)
            yield image

    ahead = [len(taken) - 1 - frame.index for frame, _ in VISInferencer(FixedTracks()).stream(frames(), prefetch=0)]
    assert ahead == [3, 2, 1, 0, 3, 2, 1, 0, 1, 0]
    session = VISSession(FixedTracks(), keep_masks=False)
    for image in pictures(8):
        session.add(image)
    assert not session._images and not any(track.masks for track in session._recorder._tracks.values())


def test_all_outputs_at_once(tmp_path):
    for t, image in enumerate(pictures()):
        write_image(tmp_path / "in" / f"f{t}.png", image)
    names = []
    out = [tmp_path / "o.mp4", tmp_path / "o", tmp_path / "o.json"]
    VISInferencer(FixedTracks(), classes=NAMES)(tmp_path / "in", out=out, min_score=0.05,
                                                on_frame=lambda frame, masks: names.append((frame.name, len(masks))))
    assert names == [(f"f{t}", 3) for t in range(10)]
    frames = list(VideoReader(out[0]))
    assert len(frames) == 10 and frames[0].image.shape == (40, 60, 3)
    assert abs(frames[0].image[20, 30].astype(int) - 80).max() > 20  # a mask is drawn there
    assert abs(frames[0].image[35, 5].astype(int) - 80).max() < 12  # and none there
    labels = read_mask(out[1] / "f0.png")
    expected = np.where(box_mask(1), 2, np.where(box_mask(0), 1, 3 * box_mask(2)))  # the higher score is on top
    np.testing.assert_array_equal(labels, expected)
    content = json.loads(out[2].read_text())
    assert [frame["name"] for frame in content["frames"]] == [f"f{t}" for t in range(10)]
    assert content["frames"][9]["size"] == [40, 60] and content["frames"][9]["index"] == 9
    np.testing.assert_array_equal(coco.decode(content["frames"][9]["objects"]["3"]), box_mask(2))
    assert [(t["id"], t["category"], t["label"], t["first"], t["last"], t["frames"]) for t in content["tracks"]] == \
        [(1, "fish", 2, 0, 9, 10), (2, "cat", 0, 0, 9, 10), (3, "dog", 1, 0, 9, 10)]


def test_what_was_found_before_an_error_is_kept(tmp_path):
    for t, image in enumerate(pictures()):
        write_image(tmp_path / "in" / f"f{t}.png", image if t != 6 else image[:20])
    out = [tmp_path / "o", tmp_path / "o.json"]
    with pytest.raises(InputError, match="20x60 after frames of 40x60"):
        VISInferencer(FixedTracks())(tmp_path / "in", out=out)
    (tmp_path / "in" / "f5.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"f5.png"):
        VISInferencer(FixedTracks())(tmp_path / "in", out=tmp_path / "p")
    assert len(list(out[0].iterdir())) == 6 and len(list((tmp_path / "p").iterdir())) == 5
    content = json.loads(out[1].read_text())
    assert len(content["frames"]) == 6 and "tracks" not in content


def test_a_config_and_a_checkpoint(tmp_path):
    from tests.models.tracklets.helpers import moving_squares, tiny_config, tiny_model
    from vosplug.utils.checkpoint import save_checkpoint_file

    state = tiny_model().state_dict()
    save_checkpoint_file({"state_dict": state, "meta": {"classes": list(NAMES)}}, tmp_path / "named.pth")
    save_checkpoint_file({"state_dict": state}, tmp_path / "bare.pth")
    config = {"model": tiny_config(), "test_session": {"size": (48, 64), "min_score": 0.0}}
    find = VISInferencer(config, tmp_path / "named.pth", device="cpu")
    assert find.classes == list(NAMES) and find.session_options["size"] == (48, 64)
    assert VISInferencer(config, tmp_path / "bare.pth").classes == ["class 0", "class 1", "class 2"]
    assert VISInferencer(config, tmp_path / "named.pth", classes="abc").classes == ["a", "b", "c"]
    video = [picture.permute(1, 2, 0).numpy().copy() for picture in moving_squares(5)[0]]
    result = find(video, min_score=0.0)
    assert result.tracks and all(len(track["segmentations"]) == 5 for track in result.tracks)
    session = VISSession(find.model, size=(48, 64), min_score=0.0)
    for image in video:
        session.add(image)
    assert [t["score"] for t in session.finish()] == [t["score"] for t in result.tracks]
    with pytest.raises(InputError, match="2 names of classes are given, the model has 3"):
        VISInferencer(config, tmp_path / "named.pth", classes=["a", "b"])


def test_bad_calls(tmp_path, root):
    find = VISInferencer(FixedTracks())
    with pytest.raises(InputError, match="needs a checkpoint"):
        VISInferencer({"model": {}})
    with pytest.raises(InputError, match="takes no checkpoint"):
        VISInferencer(FixedTracks(), "weights.pth")
    with pytest.raises(ConfigError, match="use VOSInferencer"):
        VISInferencer(str(root / "configs" / "_base_" / "stcn_small_model.py"), "weights.pth")
    with pytest.raises(InputError, match="min_score must lie in 0..1, got 3"):
        find(pictures(), min_score=3)
    with pytest.raises(InputError, match="give a folder"):
        find(pictures(), out=tmp_path / "o.png")
    with pytest.raises(InputError, match="MaskFolderWriter cannot write tracks"):
        find(pictures(), out={"type": "MaskFolderWriter", "out": str(tmp_path / "m")})
    write_image(tmp_path / "in" / "0.png", pictures(1)[0])
    with pytest.raises(InputError, match="is an input too"):
        find(tmp_path / "in", out=tmp_path / "in")
    assert find([], min_score=0).frames == 0


def test_a_folder_of_palette_masks_refuses_more_tracks_than_it_has_ids(tmp_path):
    writer = open_track_writer(tmp_path / "o")
    (_, (mask, *_)), *_ = follow(VISSession(FixedTracks()), IterableReader(pictures(4)))
    from dataclasses import replace

    frame = Frame(0, "00000", pictures(1)[0])
    writer.write(frame, [replace(mask, id=254)])
    assert read_mask(tmp_path / "o" / "00000.png").max() == 254
    with pytest.raises(OutputError, match="hold 254 tracks"):
        writer.write(frame, [replace(mask, id=255)])


def test_a_writer_of_ones_own():
    class Count(TrackWriter):
        def __init__(self):
            self.seen, self.final, self.closed = [], None, 0

        def write(self, frame, tracks):
            self.seen.append(len(tracks))

        def finish(self, tracks):
            self.final = [track["id"] for track in tracks]

        def close(self):
            self.closed += 1

    count = Count()
    VISInferencer(FixedTracks())(pictures(), out=count, min_score=0.3)
    # The second track's mean falls below the minimum in the third clip, but it was shown: it is among the final ones.
    assert (count.seen, count.final, count.closed) == ([2] * 10, [1, 2], 1)
