"""Sources of frames."""

import importlib.util
import struct
import threading
import time

import cv2
import numpy as np
import pytest

from vosplug.inference import FolderReader, IterableReader, PrefetchReader, VideoReader, open_reader
from vosplug.inference.readers import Frame, FrameReader, LimitedReader
from vosplug.registry import READERS
from vosplug.utils import video_decoding
from vosplug.utils.errors import ConfigError, DataError, InputError
from vosplug.utils.images import write_image


def picture(value, size=(32, 48)):
    return np.full((*size, 3), value, np.uint8)


def write_video(path, frames=12, code="mp4v", size=(32, 48), fps=10.0):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), fps, size[::-1])
    assert writer.isOpened()
    for t in range(frames):
        writer.write(picture(20 * t % 256, size))
    writer.release()
    return path


def write_with_index_first(path, frames=60):
    """An mp4 whose index comes before the pictures, so that a cut leaves a readable beginning."""
    av = pytest.importorskip("av")
    rng = np.random.default_rng(0)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("mpeg4", rate=20)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(frames):
            image = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def names(reader):
    return [(frame.index, frame.name) for frame in reader]


@pytest.mark.parametrize(("name", "code"), [("v.mp4", "mp4v"), ("v.avi", "MJPG"), ("v.webm", "VP80")])
def test_video_files(tmp_path, name, code):
    reader = VideoReader(write_video(tmp_path / name, code=code))
    assert (reader.num_frames, reader.fps, reader.size, reader.named) == (12, 10.0, (32, 48), False)
    frames = list(reader)
    assert [frame.name for frame in frames] == [f"{t:05d}" for t in range(12)]
    assert all(abs(frame.image.astype(int) - 20 * frame.index).mean() < 5 for frame in frames)
    assert frames[0].image.shape == (32, 48, 3)


def test_pyav_reads_what_opencv_reads(tmp_path):
    pytest.importorskip("av")
    path = write_video(tmp_path / "v.mp4")
    decoder = video_decoding.PyAVDecoder(path)
    ours = list(decoder.images())
    assert (decoder.fps, decoder.num_frames) == (10.0, 12)
    for image, frame in zip(ours, VideoReader(path), strict=True):
        assert abs(image.astype(int) - frame.image).mean() < 3


def test_texts_of_a_file_may_be_in_any_encoding(tmp_path):
    pytest.importorskip("av")
    path = write_video(tmp_path / "v.mp4")
    data = path.read_bytes()
    assert b"VideoHandler" in data
    path.write_bytes(data.replace(b"VideoHandler", b"Vid\xe9oHandle\xe2"))
    for decoder in (video_decoding.PyAVDecoder(path), video_decoding.OpenCVDecoder(str(path))):
        assert len(list(decoder.images())) == 12 == len(decoder.packet_times())


def turn(path, degrees):
    """Say in an mp4 that it has to be turned to be shown, as phones do: the matrix of its track header."""
    data, matrix = bytearray(path.read_bytes()), {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[degrees]
    begin = data.find(b"tkhd") + 4
    begin += 52 if data[begin] else 40
    a, b, c, d = (value * 2**16 for value in matrix)
    data[begin:begin + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 2**30)
    path.write_bytes(data)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_videos_that_have_to_be_turned(tmp_path, degrees):
    upright = np.zeros((32, 48, 3), np.uint8)
    upright[:16, :24] = 200
    stored = np.ascontiguousarray(np.rot90(upright, degrees // 90))
    path = tmp_path / "v.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10.0, stored.shape[1::-1])
    for _ in range(3):
        writer.write(stored)
    writer.release()
    turn(path, degrees)
    decoders = [video_decoding.OpenCVDecoder(str(path))]
    if importlib.util.find_spec("av"):
        decoders.append(video_decoding.PyAVDecoder(path))
    for decoder in decoders:
        assert decoder.size in (None, (32, 48))
        for image in decoder.images():
            assert image.shape == upright.shape and abs(image.astype(int) - upright).mean() < 12


@pytest.mark.parametrize("by_time", [False, True])
@pytest.mark.parametrize("codec", ["mpeg1video", "mpeg2video"])
def test_frames_without_a_time_follow_the_one_before(tmp_path, codec, by_time):
    """As the last frame of an MPEG program stream."""
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "v.mpg"), "w", format="mpeg") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for t in range(12):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(20 * t), format="rgb24")))
        container.mux(stream.encode())
    frames = list(VideoReader(tmp_path / "v.mpg", by_time=by_time))
    assert [round(25 * frame.time) for frame in frames] == [frame.index for frame in frames] == list(range(12))


def test_pyav_takes_over_where_opencv_fails(tmp_path, monkeypatch):
    pytest.importorskip("av")
    path = write_video(tmp_path / "v.mp4")
    monkeypatch.setattr(video_decoding.OpenCVDecoder, "is_open", lambda self: False)
    assert isinstance(VideoReader(path).decoder, video_decoding.PyAVDecoder)
    monkeypatch.setattr(video_decoding.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="pip install av"):
        VideoReader(path)


def test_colours_are_rgb(tmp_path):
    image = np.zeros((16, 16, 3), np.uint8)
    image[..., 0] = 255
    write_image(tmp_path / "a.png", image)
    frame = next(iter(FolderReader(tmp_path)))
    assert frame.image[0, 0].tolist() == [255, 0, 0]


def test_a_cut_video_gives_its_frames_and_then_an_error(tmp_path):
    path = write_with_index_first(tmp_path / "v.mp4")
    assert len(list(VideoReader(path))) == 60
    data = path.read_bytes()
    path.write_bytes(data[: int(0.6 * len(data))])
    got = []
    with pytest.raises(DataError, match=r"v.mp4: .*cut short: only \d+ of about 60"):
        got.extend(frame.index for frame in open_reader(path))
    assert 20 < len(got) < 50


@pytest.mark.parametrize("content", [b"", b"not a video", None, "half"])
def test_bad_video_files(tmp_path, content):
    path = tmp_path / "v.mp4"
    if content == "half":
        data = write_video(path, frames=30).read_bytes()
        path.write_bytes(data[: len(data) // 2])  # the index is at the end
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match="v.mp4"):
        VideoReader(path)


def test_folders_are_sorted_by_number(tmp_path):
    for name in ("f10.png", "f9.png", "f1.png", ".hidden.png", "notes.txt"):
        write_image(tmp_path / name, picture(1)) if name.endswith("png") else (tmp_path / name).write_text("")
    reader = FolderReader(tmp_path)
    assert names(reader) == [(0, "f1"), (1, "f9"), (2, "f10")]
    assert (reader.num_frames, reader.named) == (3, True)


def test_bad_folders(tmp_path):
    with pytest.raises(DataError, match="not found"):
        FolderReader(tmp_path / "none")
    with pytest.raises(DataError, match="has no pictures"):
        FolderReader(tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(DataError, match="a.jpg"):
        list(open_reader(tmp_path))


def test_iterables_and_limits():
    reader = IterableReader([picture(1), ("mine", picture(2))], fps=5)
    assert (reader.num_frames, reader.fps) == (2, 5)
    assert names(reader) == [(0, "00000"), (1, "mine")]
    assert names(LimitedReader(IterableReader(picture(t) for t in range(9)), 2)) == [(0, "00000"), (1, "00001")]
    assert LimitedReader(reader, 1).num_frames == 1


def test_choice_of_the_reader(tmp_path, monkeypatch):
    write_image(tmp_path / "a.png", picture(1))
    video = write_video(tmp_path / "v.mp4")
    assert isinstance(open_reader(str(tmp_path), prefetch=0), FolderReader)
    assert isinstance(open_reader(video).reader, VideoReader)
    assert isinstance(open_reader(np.zeros((2, 8, 8, 3), np.uint8), prefetch=0), IterableReader)
    assert isinstance(open_reader({"type": "FolderReader", "path": str(tmp_path)}, prefetch=0), FolderReader)
    assert set(READERS.names()) >= {"FolderReader", "VideoReader", "CameraReader", "IterableReader"}
    with pytest.raises(InputError, match="single image"):
        open_reader(tmp_path / "a.png")
    with pytest.raises(DataError, match="input not found"):
        open_reader(tmp_path / "nothing.mp4")
    with pytest.raises(InputError, match="cannot read frames from float"):
        open_reader(1.5)
    with pytest.raises(ConfigError, match="Did you mean 'FolderReader'"):
        open_reader({"type": "FolderRaeder", "path": "x"})
    with pytest.raises(DataError, match="camera 97 cannot be opened"):
        open_reader("97")
    with pytest.raises(DataError, match="input not found"):
        open_reader("٣")  # a digit, but nobody's number of a camera


class Counting(FrameReader):
    """Frames without an end, or with an error; tells how far it was read and whether it was closed."""

    def __init__(self, fail_at=None):
        self.fail_at = fail_at
        self.read = 0
        self.closed = 0

    def __iter__(self):
        while True:
            if self.read == self.fail_at:
                raise DataError("broken here")
            self.read += 1
            yield Frame(self.read - 1, f"{self.read - 1:05d}", picture(0))

    def close(self):
        self.closed += 1


def threads():
    return [t for t in threading.enumerate() if t.name.startswith("vosplug-prefetch")]


def test_reading_ahead_is_bounded_and_ends_when_the_loop_is_left():
    reader = Counting()
    with PrefetchReader(reader, 3) as ahead:
        iterator = iter(ahead)
        assert next(iterator).index == 0
        time.sleep(0.3)
        assert 1 < reader.read <= 5  # one taken, three waiting, one in the hand of the thread
        assert len(threads()) == 1
        assert [next(iterator).index for _ in range(20)] == list(range(1, 21))
    assert reader.closed == 1
    assert threads() == []


def test_reading_ahead_delivers_errors_after_the_frames_before_them():
    got = []
    ahead = PrefetchReader(Counting(fail_at=5), 2)
    with pytest.raises(DataError, match="broken here"):
        got.extend(frame.index for frame in ahead)
    assert got == [0, 1, 2, 3, 4]
    assert threads() == []


def test_reading_ahead_gives_the_same_frames_twice(tmp_path):
    for t in range(7):
        write_image(tmp_path / f"{t}.png", picture(t))
    ahead = open_reader(tmp_path, prefetch=2)
    assert names(ahead) == names(ahead) == names(FolderReader(tmp_path))
    with pytest.raises(InputError, match="at least 1"):
        PrefetchReader(FolderReader(tmp_path), 0)


@pytest.mark.shared
def test_real_clips(shared):
    reader = open_reader(shared / "data" / "clips" / "dog.mp4")
    assert (reader.num_frames, reader.size, round(reader.fps)) == (60, (360, 640), 24)
    assert sum(1 for _ in reader) == 60
    coffee = open_reader(shared / "data" / "clips" / "coffee.mp4", prefetch=0)
    assert (coffee.num_frames, coffee.size) == (287, (720, 1280))
