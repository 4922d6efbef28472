"""Where results go."""

import errno
import json
import os

import cv2
import numpy as np
import pytest

from vosplug.inference import (
    FolderReader,
    MaskFolderWriter,
    OverlayFolderWriter,
    OverlayVideoWriter,
    RleJsonWriter,
    VideoReader,
    open_writer,
    video_writer,
)
from vosplug.inference.readers import Frame
from vosplug.registry import WRITERS
from vosplug.utils.errors import ConfigError, InputError, OutputError
from vosplug.utils.masks import DAVIS_PALETTE, read_mask


def results(frames=5, size=(32, 48)):
    for t in range(frames):
        labels = np.zeros(size, np.uint8)
        labels[4:20, 4 + t : 20 + t] = 1
        labels[10:30, 30:44] = 200
        yield Frame(t, f"{t:05d}", np.full((*size, 3), 100, np.uint8)), labels


def fill(writer, **options):
    for frame, labels in results(**options):
        writer.write(frame, labels)


def test_mask_folder(tmp_path):
    with MaskFolderWriter(tmp_path / "a" / "b") as writer:
        fill(writer)
    for frame, labels in results():
        np.testing.assert_array_equal(read_mask(tmp_path / "a" / "b" / f"{frame.name}.png"), labels)


def test_overlay_folder(tmp_path):
    with OverlayFolderWriter(tmp_path) as writer:
        fill(writer)
    image = next(iter(FolderReader(tmp_path))).image
    assert abs(image[25, 3].astype(int) - 100).max() < 12
    assert image[12, 10, 0] > image[12, 10, 1] + 40  # object 1 is red


@pytest.mark.parametrize("encoder", ["PyAVEncoder", "OpenCVEncoder"])
@pytest.mark.parametrize("size", [(32, 48), (31, 47)])
def test_overlay_video(tmp_path, monkeypatch, encoder, size):
    if encoder == "PyAVEncoder":
        pytest.importorskip("av")
    monkeypatch.setattr(video_writer, "make_encoder", getattr(video_writer, encoder))
    path = tmp_path / "new" / "v.mp4"
    with OverlayVideoWriter(path, fps=12.5) as writer:
        fill(writer, size=size)
        assert not path.exists()
    reader = VideoReader(path)
    frames = list(reader)
    assert (len(frames), reader.fps, reader.size) == (5, 12.5, (32, 48))
    expected = 0.5 * 100 + 0.5 * DAVIS_PALETTE[1].astype(float)
    assert abs(frames[0].image[12, 10] - expected).max() < 25
    assert [p.name for p in path.parent.iterdir()] == ["v.mp4"]
    writer.close()
    with pytest.raises(OutputError, match="closed"):
        fill(writer)


def test_what_was_written_before_an_error_stays(tmp_path):
    writers = [MaskFolderWriter(tmp_path / "m"), OverlayVideoWriter(tmp_path / "v.mp4"),
               RleJsonWriter(tmp_path / "r.json")]
    with pytest.raises(RuntimeError), writers[0], writers[1], writers[2]:
        for frame, labels in results():
            if frame.index == 3:
                raise RuntimeError
            for writer in writers:
                writer.write(frame, labels)
    assert len(list((tmp_path / "m").iterdir())) == 3
    assert len(list(VideoReader(tmp_path / "v.mp4"))) == 3
    assert len(json.loads((tmp_path / "r.json").read_text())["frames"]) == 3


def test_rle_json_round_trip(tmp_path):
    from pycocotools import mask as coco

    path = tmp_path / "r.json"
    with RleJsonWriter(path) as writer:
        assert not path.exists()
        fill(writer)
    records = json.loads(path.read_text())["frames"]
    for record, (frame, labels) in zip(records, results(), strict=True):
        assert (record["index"], record["name"], record["size"]) == (frame.index, frame.name, [32, 48])
        restored = np.zeros((32, 48), np.uint8)
        for value, code in record["objects"].items():
            restored[coco.decode(code) > 0] = int(value)
        np.testing.assert_array_equal(restored, labels)


def test_a_json_file_of_no_frames_leaves_what_an_earlier_run_wrote(tmp_path):
    with RleJsonWriter(tmp_path / "none.json"):
        pass
    assert not any(tmp_path.iterdir())
    (tmp_path / "old.json").write_text("{}")
    with RleJsonWriter(tmp_path / "old.json"):
        pass
    assert (tmp_path / "old.json").read_text() == "{}" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(("name", "kind"), [("a.mp4", OverlayVideoWriter), ("a.MKV", OverlayVideoWriter),
                                            ("a.json", RleJsonWriter), ("folder", MaskFolderWriter)])
def test_choice_of_the_writer(tmp_path, name, kind):
    with open_writer(tmp_path / name, fps=7) as writer:
        assert type(writer) is kind
    assert set(WRITERS.names()) >= {"OverlayVideoWriter", "RleJsonWriter", "MaskFolderWriter", "OverlayFolderWriter"}
    assert isinstance(open_writer({"type": "OverlayFolderWriter", "out": str(tmp_path / "o")}), OverlayFolderWriter)
    assert open_writer(writer) is writer


def test_bad_choices(tmp_path):
    with pytest.raises(InputError, match="give a folder"):
        open_writer(tmp_path / "a.png")
    with pytest.raises(InputError, match="suffix of an overlay video"):
        OverlayVideoWriter(tmp_path / "a.txt")
    with pytest.raises(ConfigError, match="Did you mean"):
        open_writer({"type": "OverlayVideoWritr", "out": "x"})


@pytest.mark.parametrize("kind", [MaskFolderWriter, OverlayFolderWriter, OverlayVideoWriter, RleJsonWriter])
def test_unwritable_outputs(tmp_path, kind):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        kind(tmp_path / "file" / "x.mp4")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk_is_reported_and_leaves_no_rubbish(tmp_path, monkeypatch):
    writer = RleJsonWriter(tmp_path / "r.json")
    with open("/dev/full", "wb", buffering=0) as full:
        monkeypatch.setattr(writer.file, "_stream", full)
        with pytest.raises(OutputError, match="No space left"):
            fill(writer)
    writer.close()
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_that_fails_is_reported_and_leaves_no_rubbish(tmp_path, monkeypatch):
    def fail(self, image, ticks):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(video_writer.OpenCVEncoder, "write", fail)
    monkeypatch.setattr(video_writer, "make_encoder", video_writer.OpenCVEncoder)
    writer = OverlayVideoWriter(tmp_path / "v.mp4")
    with pytest.raises(OutputError, match="No space left"):
        fill(writer)
    writer.close()
    assert list(tmp_path.iterdir()) == []


def test_opencv_failures_that_make_no_noise_are_found(tmp_path, monkeypatch):
    class Lost:
        """A cv2.VideoWriter whose frames never reach the disk."""

        def __init__(self, *_):
            pass

        def isOpened(self):  # noqa: N802
            return True

        def write(self, image):
            pass

        def release(self):
            pass

    monkeypatch.setattr(cv2, "VideoWriter", Lost, raising=True)
    monkeypatch.setattr(cv2, "VideoWriter_fourcc", lambda *_: 0, raising=False)
    monkeypatch.setattr(video_writer, "make_encoder", video_writer.OpenCVEncoder)
    writer = OverlayVideoWriter(tmp_path / "v.mp4")
    fill(writer)
    with pytest.raises(OutputError, match="0 of 5 frames"):
        writer.close()
