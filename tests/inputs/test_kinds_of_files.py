"""Kinds of pictures, masks and videos that users bring: read right, warned about, or refused in one line.

Each kind has an input that was collected, where there is one, and others of its kind.
"""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.bad_inputs_helpers import CLIP, both, copied_world, make_world, mask, picture, remove
from vosplug.utils.images import write_image
from vosplug.utils.masks import read_mask, write_mask

from .cases import DEMO, Case, expect, files, frames, grey, ids_of_first_frame, masks, palette, run_case

LOST = "{given}/04_frames_lost_in_the_middle"
SMOOTH = DEMO + " {given}/02_smoothed_masks/frames --out o.json --mask {given}/02_smoothed_masks/"
MADE = DEMO + " images --out o.json --mask m.png"
LABELS = CLIP[0][1]
CAM = "cam.mp4"


def spoil(path, place, size=200, fill=0):
    """Some bytes of a file become another value."""
    def act(world):
        data = bytearray((world.folder / path).read_bytes())
        begin = int(place * len(data))
        data[begin:begin + size] = bytes([fill]) * size
        world.write(path, bytes(data))
    return act


def append(path, more=b"\0\0\0trailer" * 20):
    return lambda world: world.write(path, (world.folder / path).read_bytes() + more)


def noisy_jpeg(path):
    """A JPEG with so much in it that damage shows."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    return lambda world: write_image(world.folder / path, noise)


def smoothed(factor=1, ids=(1, 3)):
    """Labels as a linear interpolation leaves them, at twice the size."""
    table = np.array([0, *ids], np.uint8)
    return cv2.resize(table[LABELS] * factor, (120, 80), interpolation=cv2.INTER_LINEAR)


def many_ids():
    """Sixty ids in tiles of 4 x 6 pixels."""
    tiles = np.arange(1, 61, dtype=np.uint8).reshape(6, 10)
    return np.pad(np.kron(tiles, np.pad(np.ones((4, 4), np.uint8), 1)), ((0, 4), (0, 0)))


def sixty_ids(name):
    """A collected mask, and frames of its size."""
    def act(world):
        for t in range(2):
            write_image(world.folder / f"v/{t}.png", np.full((120, 200, 3), 60 + t, np.uint8))
        world.write("m.png", Path(f"{world.given}/02_smoothed_masks/{name}").read_bytes())
    return act


def few_bits(world):
    """A grey PNG of two bits per pixel, written by hand: Pillow and OpenCV write eight."""
    rows = [b"\0" + bytes(np.packbits(np.unpackbits(row[:, None], axis=1)[:, 6:].ravel())) for row in LABELS]
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 60, 40, 2, 0, 0, 0, 0)), (b"IDAT", zlib.compress(b"".join(rows))),
              (b"IEND", b"")]
    world.write("m.png", b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks))


def turned(folder, orientation):
    """Frames that have to be turned, as phones write them, with masks of the turned size."""
    def act(world):
        exif = Image.Exif()
        exif[0x0112] = orientation
        (world.folder / folder / "images").mkdir(parents=True)
        for t, (image, labels) in enumerate(CLIP):
            stored = {6: np.rot90(image), 3: np.rot90(image, 2), 8: np.rot90(image, 3)}[orientation]
            Image.fromarray(stored).save(world.folder / folder / "images" / f"{t:05d}.jpg", exif=exif, quality=95)
            write_mask(world.folder / folder / "masks" / f"{t:05d}.png", labels)
    return act


def video_without(*missing, name=CAM):
    """A video of twelve frames, each by itself, from which some packets are left out."""
    def act(world):
        av = pytest.importorskip("av")
        with av.open(str(world.folder / name), "w") as container:
            stream = container.add_stream("mjpeg", rate=10)
            stream.width, stream.height, stream.pix_fmt = 60, 40, "yuvj420p"
            for t in range(30):
                frame = av.VideoFrame.from_ndarray(CLIP[t % 4][0], format="rgb24")
                for packet in stream.encode(frame):
                    if t not in missing:
                        container.mux(packet)
    return act


def duration(path, seconds):
    def check(world):
        av = pytest.importorskip("av")
        with av.open(str(world.folder / path)) as container:
            assert abs(max(frame.time for frame in container.decode(video=0)) - seconds) < 0.05
    return check


def marks(*texts):
    """Names of files in which digits are no decimal digits."""
    return [f"{text}.png" for text in texts]


_VFR = (96, 128)

KINDS = [
    Case("F1 damage", "mask-to-score", "eval_masks davis --gt {given}/01_damaged_mask/gt --pred "
         "{given}/01_damaged_mask/pred --workers 1", ("pred/dog/00010.png", "checksum", "IDAT"), 2),
    Case("F1 damage", "mask-in-a-tree", "check_data {given}/01_damaged_mask/checked --type folder",
         ("00010.png", "checksum", "1 fault"), 1),
    Case("F1 damage", "mask-of-a-prompt", MADE, ("m.png", "damaged"), 2, both(mask("m.png", LABELS),
                                                                              spoil("m.png", 0.7, 2))),
    Case("F1 damage", "jpeg-in-the-middle", f"{DEMO} images --mask first.png --out o", ("images/00002.jpg", "damaged"),
         2, both(remove("images/00002.png"), noisy_jpeg("images/00002.jpg"), spoil("images/00002.jpg", 0.6)),
         files("o", "00000.png", count=2)),
    Case("F1 damage", "png-frame", f"{DEMO} images --mask first.png --out o", ("images/00001.png", "checksum"), 2,
         spoil("images/00001.png", 0.5, 1, 77)),
    Case("F1 damage", "jpeg-in-a-tree", "check_data davis --type davis --split val", ("one/00002.jpg", "damaged"), 1,
         both(noisy_jpeg("davis/JPEGImages/480p/one/00002.jpg"), spoil("davis/JPEGImages/480p/one/00002.jpg", 0.6))),
    *(Case("F2 ids", name, SMOOTH + name, ("looks smoothed",), 2)
      for name in ("smooth_255_few.png", "fg.jpg", "smooth_palette.png", "smooth_id2.png", "smooth_id10.png")),
    *(Case("F2 ids", name, MADE.replace("images", "v"), make=sixty_ids(name), collected=True,
           check=ids_of_first_frame("o.json", *range(1, 61))) for name in ("ids60_L.png", "ids60_P.png")),
    Case("F2 ids", "sixty-grey-tiles", "check_data v --type folder", ("clean",), 0,
         both(frames("v"), grey("v/mask.png", many_ids()))),
    Case("F2 ids", "grey_2bit.png", SMOOTH + "grey_2bit.png", check=ids_of_first_frame("o.json", 1, 3)),
    Case("F2 ids", "grey_4bit.png", SMOOTH + "grey_4bit.png", check=ids_of_first_frame("o.json", 1, 2)),
    Case("F2 ids", "ok_grey.png", SMOOTH + "ok_grey.png", check=ids_of_first_frame("o.json", 1, 2)),
    Case("F2 ids", "two-bits", MADE, check=ids_of_first_frame("o.json", 1, 2), make=few_bits),
    Case("F2 ids", "void-beside-ids", MADE, make=grey("m.png", np.where(LABELS == 2, 255, LABELS).astype(np.uint8)),
         check=ids_of_first_frame("o.json", 1)),
    Case("F2 ids", "smoothed-to-twice-the-size", "check_data v --type folder", ("mask.png", "looks smoothed"), 1,
         both(frames("v"), grey("v/mask.png", smoothed()))),
    Case("F2 ids", "smoothed-0-and-255", MADE, ("looks smoothed",), 2, grey("m.png", smoothed(255, (1, 1)))),
    Case("F2 ids", "jpeg-saved-as-png", MADE, ("looks smoothed",), 2, lambda w: grey("m.png", cv2.imdecode(
        cv2.imencode(".jpg", LABELS * 100)[1], cv2.IMREAD_GRAYSCALE))(w)),
    Case("F2 ids", "stretched-to-be-seen", MADE, ("127, 255 look like ids that were stretched",), 2,
         grey("m.png", np.array([0, 127, 255], np.uint8)[LABELS])),
    Case("F4 lost frames", "lost-packets", DEMO + f" {LOST}/lost_packets.ts --mask {LOST}/masks --out o",
         ("lost_packets.ts", "missing between 0.7", "--by-time"), 2, check=files("o", count=22)),
    Case("F4 lost frames", "lost-packets-by-time", DEMO + f" {LOST}/lost_packets.ts --mask {LOST}/masks --out o "
         "--by-time", check=files("o", "00040.png", "00059.png", count=51)),
    Case("F4 lost frames", "cannot-be-decoded", DEMO + f" {LOST}/intra_noise.mkv --mask {LOST}/masks/00000.png --out o",
         ("intra_noise.mkv", "missing between 0.767 s and 1.667 s"), 2),
    Case("F4 lost frames", "cannot-be-decoded-by-time", DEMO + f" {LOST}/intra_noise.mkv --out o --by-time --mask "
         f"{LOST}/masks/00000.png", ("warning:",), check=files("o", "00050.png", count=34)),
    Case("F4 lost frames", "packets-left-out", f"{DEMO} {CAM} --mask first.png --out o", ("5 frames are missing",), 2,
         video_without(*range(9, 14)), files("o", "00008.png", count=9)),
    Case("F4 lost frames", "packets-left-out-by-time", f"{DEMO} {CAM} --mask first.png --out o --by-time",
         make=video_without(*range(9, 14)), check=files("o", "00014.png", "00029.png", count=25)),
    Case("F4 lost frames", "nothing-lost", f"{DEMO} {CAM} --mask first.png --out o", make=video_without(),
         check=files("o", count=30)),
    Case("F5 one name", "masks-beside", DEMO + " {given}/05_picture_and_mask_of_one_name --binary-mask --out o "
         "--mask {given}/05_first_mask_255.png", ("two pictures named 00000",), 2),
    Case("F5 one name", "mask-beside-with-a-word", f"{DEMO} v --mask first.png --out o",
         ("00001_mask.png looks like the mask of the picture 00001",), 2, both(frames("v"),
                                                                              masks("v", ["00001_mask.png"]))),
    Case("F5 one name", "in-a-tree", "check_data v --type folder", ("00001_mask.png looks like the mask",), 1,
         both(frames("v/a"), masks("v/a", ["00001_mask.png"]))),
    Case("F5 one name", "two-suffixes-in-a-tree", "check_data v --type folder", ("two pictures named 00002",), 1,
         both(frames("v/a"), frames("v/a", ["00002.jpg"]))),
    Case("F5 one name", "upper-case", f"{DEMO} v --mask first.png --out o", ("upper and lower case only",), 2,
         frames("v", ["a.png", "A.png"])),
    Case("F6 grey", "ids-as-predictions", "eval_masks davis --gt {given}/06_grey_ids_binary/gt_255 --pred "
         "{given}/06_grey_ids_binary/pred_grey_ids --protocol semi2016 --workers 1 --json s.json",
         check=expect("s.json", J_Mean=1.0)),
    Case("F6 grey", "ids-as-references", "eval_masks davis --gt {given}/06_grey_ids_binary/gt_grey_ids --pred "
         "{given}/06_grey_ids_binary/pred_palette --protocol semi2016 --workers 1 --json s.json",
         check=expect("s.json", J_Mean=1.0)),
    Case("F6 grey", "ids-as-a-binary-prompt", f"{MADE} --binary-mask", make=grey("m.png", LABELS * 20),
         check=ids_of_first_frame("o.json", 1)),
    Case("F9 rotation", "exif-of-a-mask", "check_data v --type folder", ("clean",), 0, both(
        frames("v"), lambda w: Image.fromarray(np.rot90(LABELS)).save(w.folder / "v/mask.png", exif=_exif(6)))),
    *(Case("F13 EXIF", f"{command.split()[0]}-{orientation}", command, says, 0, turned("v/a", orientation))
      for orientation in (3, 6, 8) for command, says in (
        ("check_data v --type folder", ("clean",)),
        (f"{DEMO} v/a/images --mask v/a/masks --skip-known-ids --out o", ()),
        ("test folder.py --baseline copy", ("J&F-Mean",)), ("train exif.py --work-dir run --device cpu", ()))),
    Case("F14 deep pictures", "12-bits-given", DEMO + " {given}/15_deep_frames --mask first.png --out o",
         ("leave the upper bits unused",), 2),
    Case("F14 deep pictures", "10-bits", "check_data v --type folder", ("leave the upper bits unused", "1 warning"), 0,
         both(frames("v"), mask("v/mask.png", LABELS), picture("v/00002.png", LABELS.astype(np.uint16) * 400))),
    Case("F14 deep pictures", "16-bits", "check_data v --type folder", ("clean",), 0,
         both(frames("v"), mask("v/mask.png", LABELS), picture("v/00002.png", LABELS.astype(np.uint16) * 30000))),
    Case("F19 trailing bytes", "jpeg", "check_data v --type folder", ("clean",), 0, both(
        frames("v", ["0.jpg", "1.jpg", "2.jpg"]), append("v/1.jpg"), mask("v/mask.png", LABELS))),
    Case("F19 trailing bytes", "png-and-mask", f"{DEMO} images --mask first.png --out o", (), 0,
         both(append("images/00001.png"), append("first.png")), files("o", count=4)),
    Case("F19 trailing bytes", "given", DEMO + " {given}/17_trailing_bytes --mask m.png --out o", (), 0,
         mask("m.png", np.pad(LABELS, ((0, 8), (0, 4)))), files("o", count=3)),
    Case("F20 names", "other-digits", f"{DEMO} v --mask first.png --out o", (), 0, frames("v", marks("①", "②", "٣")),
         files("o", *marks("①", "②", "٣"))),
    Case("F20 names", "other-digits-of-masks", f"{DEMO} clip.mp4 --mask m --out o", ("no frame for the mask m/②",), 2,
         both(masks("m", ["00000.png"]), masks("m", ["②.png"]))),
    Case("F20 names", "arabic-numbers", f"{DEMO} clip.mp4 --mask m --out o", (), 0, masks("m", ["٠.png"])),
    Case("F21 palette", "white-background-first", MADE + " --binary-mask", make=palette("m.png", LABELS == 0, [
        255, 255, 255, 0, 0, 0]), check=lambda w: _same_foreground(w, LABELS > 0)),
    Case("F21 palette", "white-in-a-static-set", "check_data v --type static", ("clean",), 0, both(
        frames("v", ["a.jpg"]), palette("v/a.png", LABELS == 0, [255, 255, 255, 0, 0, 0]))),
    Case("F21 palette", "black-is-no-background", MADE, ("index 0 is not black",), 0,
         palette("m.png", np.where(LABELS == 0, 3, LABELS), [0, 255, 0, 255, 0, 0, 0, 0, 255, 0, 0, 0])),
    Case("F21 palette", "no-background", MADE, ("has no background",), 0, mask("m.png", LABELS + 1)),
    Case("F22 variable rate", "overlay", DEMO + " {given}/21_vfr/vfr.mkv --mask m.png --out o.mp4", (), 0,
         lambda w: write_mask(w.folder / "m.png", np.pad(np.ones((8, 8), np.uint8), ((0, _VFR[0] - 8),
                                                                                      (0, _VFR[1] - 8)))),
         duration("o.mp4", 4.46)),
]


def _exif(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def _same_foreground(world, expected):
    np.testing.assert_array_equal(read_mask(world.folder / "m.png", binary=True), expected)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    path = tmp_path_factory.mktemp("inputs") / "world"
    path.mkdir()
    make_world(path)
    text = (path / "tiny.py").read_text()
    (path / "folder.py").write_text(text + "test_dataset = dict(type='FolderVideos', data_root='v')\n")
    (path / "exif.py").write_text((path / "clips.py").read_text().replace(
        "dict(type='DavisDataset', data_root=data_root, split='train')", "dict(type='FolderVideos', data_root='v')"))
    return path


@pytest.fixture
def world(template, tmp_path, monkeypatch):
    yield from copied_world(template, tmp_path, monkeypatch)


@pytest.mark.parametrize("case", [pytest.param(case, marks=[pytest.mark.shared] if case.given else [], id=str(case))
                                  for case in KINDS])
def test_input(case, world, capfd, request):
    run_case(case, world, capfd, request.getfixturevalue("shared") if case.given else None)
