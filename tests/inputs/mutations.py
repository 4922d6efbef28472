"""Files with small damage, each a function of a seed, and what reads them."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco

from tests.inference.colour_segmentor import moving_squares
from vosplug.datasets.youtube_vos_meta import read_meta, read_seen_unseen
from vosplug.evaluation.functional.youtube_vis import score_video
from vosplug.inference import VideoReader
from vosplug.utils.images import read_image
from vosplug.utils.masks import encode_mask, read_mask
from vosplug.utils.names import read_names
from vosplug.utils.vis_json import read_vis_file, read_vis_results

CLIP = list(moving_squares(frames=12, size=(48, 64), noise=20))
LABELS = CLIP[0][1]
RUNS = coco.encode(np.asfortranarray(np.arange(80).reshape(10, 8).T < 20, np.uint8))["counts"].decode()


@dataclass(frozen=True)
class Original:
    """A file to be damaged.

    Attributes:
        name: of the file; its suffix may matter to who reads it.
        data: its bytes.
        read: reads it; what comes out of the original is what has to come out of each copy that raises no error.
        exact: whether a checksum covers every byte that matters.
        weight: how often it is taken, beside the others.
    """

    name: str
    data: bytes
    read: Callable[[Path], Any]
    exact: bool
    weight: int = 1


def originals(folder: Path) -> list[Original]:
    """Files of all kinds; ``folder`` is for those that only a path can be written to."""
    image = CLIP[0][0]
    names = "bear\ncar 1\n# a comment\nhöhle\n"
    pairs = "".join(f"/JPEGImages/480p/bear/{t:05d}.jpg /Annotations/480p/bear/{t:05d}.png\n" for t in range(3))
    found = [
        Original("palette.png", encode_mask(LABELS), read_mask, True, 4),
        Original("grey.png", _png(LABELS), read_mask, True, 3),
        Original("binary.png", _png(LABELS * 100), lambda path: read_mask(path, binary=True), True),
        Original("picture.png", _png(image), read_image, True, 3),
        Original("deep.png", _png(image.astype(np.uint16) * 256), read_image, True),
        Original("picture.jpg", cv2.imencode(".jpg", image)[1].tobytes(), read_image, False, 4),
        Original("grey.jpg", cv2.imencode(".jpg", image[..., 0])[1].tobytes(), read_image, False),
        Original("picture.bmp", cv2.imencode(".bmp", image)[1].tobytes(), read_image, False),
        Original("picture.webp", cv2.imencode(".webp", image)[1].tobytes(), read_image, False),
        Original("meta.json", json.dumps(_meta()).encode(), read_meta, False, 2),
        Original("seen.json", b'{"seen": ["dog", "cat"], "unseen": ["goblin"]}', read_seen_unseen, False),
        Original("vis.json", json.dumps(_vis()).encode(), _score, False, 3),
        Original("results.json", json.dumps(_results()).encode(), _score_results(folder), False, 2),
        Original("names.txt", names.encode(), read_names, False),
        Original("pairs.txt", pairs.encode(), read_names, False),
    ]
    videos = [("clip.mp4", "mp4v"), ("clip.avi", "MJPG"), ("clip.mkv", "mp4v"), ("clip.webm", "VP80")]
    return found + [Original(name, _video(folder / name, code), _frames, False) for name, code in videos]


def mutated(data: bytes, rng: random.Random) -> bytes:
    """A copy with one damage: bits, a run of bytes, a piece that is lost, doubled or moved, an end that is missing."""
    content, place = bytearray(data), rng.randrange(len(data))
    length = rng.choice((1, 2, 4, 16, 64, 512))
    kind = rng.randrange(8)
    if kind == 0:
        content[place] ^= 1 << rng.randrange(8)
    elif kind == 1:
        content[place] = rng.randrange(256)
    elif kind == 2:
        content[place:place + length] = bytes(len(content[place:place + length]))
    elif kind == 3:
        content[place:place + length] = rng.randbytes(len(content[place:place + length]))
    elif kind == 4:
        del content[place:place + length]
    elif kind == 5:
        content[place:place] = content[place:place + length]
    elif kind == 6:
        del content[place:]
    else:
        other = rng.randrange(len(data))
        content[place:place + length] = data[other:other + length]
    return bytes(content)


def equal(one: Any, other: Any) -> bool:
    """Whether two results are the same, arrays and lists of them included."""
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and one.shape == other.shape and bool((one == other).all())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


def _png(array: np.ndarray) -> bytes:
    return cv2.imencode(".png", array)[1].tobytes()


def _video(path: Path, code: str) -> bytes:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), 10, (64, 48))
    assert writer.isOpened()
    for image, _ in CLIP:
        writer.write(image)
    writer.release()
    return path.read_bytes()


def _frames(path: Path) -> list[np.ndarray]:
    with VideoReader(path) as reader:
        return [frame.image for frame in reader]


def _meta() -> dict:
    frames = ["00000", "00005", "00010"]
    return {"videos": {"a": {"objects": {"1": {"category": "dog", "frames": frames},
                                         "2": {"category": "cat", "frames": frames[1:]}}},
                       "b c": {"objects": {"1": {"category": "goblin", "frames": frames[:1]}}}}}


def _vis() -> dict:
    code, text = {"size": [8, 10], "counts": [0, 20, 60]}, {"size": [8, 10], "counts": RUNS}
    polygon = [[0.5, 0.5, 6.0, 0.5, 6.0, 5.5]]
    masks = ([code, None], [text, code], [polygon, None])
    return {"videos": [{"id": 1, "width": 10, "height": 8, "length": 2, "file_names": ["a/0.jpg", "a/1.jpg"]}],
            "categories": [{"id": n, "name": f"c{n}"} for n in (1, 2, 3)],
            "annotations": [{"id": n, "video_id": 1, "category_id": n, "iscrowd": 0, "segmentations": list(two),
                             "bboxes": [None if m is None else [0, 0, 2, 8] for m in two],
                             "areas": [None if m is None else 20 for m in two]} for n, two in enumerate(masks, 1)]}


def _results() -> list:
    masks = [{"size": [8, 10], "counts": RUNS}, None]
    return [{"video_id": 1, "category_id": n, "score": 0.5, "segmentations": masks} for n in (1, 2)]


def _score(path: Path) -> list:
    return _scores(read_vis_file(path), None)


def _score_results(folder: Path) -> Callable[[Path], list]:
    reference = folder / "reference.json"
    reference.write_text(json.dumps(_vis()))
    return lambda path: _scores(read_vis_file(reference), path)


def _scores(reference: Any, results: Path | None) -> list:
    found = {number: [] for number in reference.videos} if results is None else read_vis_results(results, reference)
    return [score_video((reference.annotations or {}).get(number, ()), found[number], reference.size(number))
            for number in reference.videos]
