"""``meta.json`` and ``seen_unseen.json`` of YouTube-VOS, checked while they are read."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..utils.errors import DataError
from ..utils.files import read_json
from ..utils.names import name_fault

TRAINING_CATEGORIES = (
    "airplane", "ape", "bear", "bike", "bird", "boat", "bucket", "bus", "camel", "cat", "cow", "crocodile", "deer",
    "dog", "dolphin", "duck", "eagle", "earless_seal", "elephant", "fish", "fox", "frisbee", "frog", "giant_panda",
    "giraffe", "hand", "hat", "hedgehog", "horse", "knife", "leopard", "lion", "lizard", "monkey", "motorbike",
    "mouse", "others", "owl", "paddle", "parachute", "parrot", "penguin", "person", "plant", "rabbit", "raccoon",
    "sedan", "shark", "sheep", "sign", "skateboard", "snail", "snake", "snowboard", "squirrel", "surfboard",
    "tennis_racket", "tiger", "toilet", "train", "truck", "turtle", "umbrella", "whale", "zebra",
)


@dataclass(frozen=True)
class VideoMeta:
    """Objects of one video: per id its category and the names of its frames, in order."""

    categories: dict[int, str]
    frames: dict[int, tuple[str, ...]]

    @property
    def first_frames(self) -> dict[int, str]:
        """Per id the name of its first frame."""
        return {number: frames[0] for number, frames in self.frames.items()}

    @property
    def output_frames(self) -> list[str]:
        """Names of all frames on which some object has to be predicted, sorted."""
        return sorted({frame for frames in self.frames.values() for frame in frames})


def read_meta(path: Path) -> dict[str, VideoMeta]:
    """Read ``meta.json``: name of the video -> its objects.

    Raises:
        DataError: with the first fault of :func:`meta_faults`.
    """
    content = read_json(path)
    for fault in meta_faults(content):
        raise DataError(f"{path}: {fault}")
    result = {}
    for name, video in content["videos"].items():
        objects = {int(key): entry for key, entry in video["objects"].items()}
        result[name] = VideoMeta({number: entry.get("category", "") for number, entry in objects.items()},
                                 {number: tuple(entry["frames"]) for number, entry in objects.items()})
    return result


def meta_faults(content: Any) -> Iterator[str]:
    """Yield one line per fault in the content of a ``meta.json``."""
    videos = content.get("videos") if isinstance(content, dict) else None
    if not isinstance(videos, dict) or not videos:
        yield "expected {\"videos\": {<name>: {\"objects\": ...}}} with at least one video"
        return
    for name, video in videos.items():
        fault = name_fault(name)
        if fault:
            yield fault
            continue
        objects = video.get("objects") if isinstance(video, dict) else None
        if not isinstance(objects, dict) or not objects:
            yield f"video {name}: expected {{\"objects\": {{<id>: ...}}}} with at least one object"
            continue
        for key, entry in objects.items():
            yield from (f"video {name}, object {key}: {fault}" for fault in _object_faults(key, entry))


def _object_faults(key: str, entry: Any) -> Iterator[str]:
    if not key.isdecimal() or not 1 <= int(key) <= 254:
        yield f"the id must be a whole number in 1..254 (the pixel value in the masks), got {key!r}"
    if not isinstance(entry, dict):
        yield f"expected {{\"category\": ..., \"frames\": [...]}}, got {type(entry).__name__}"
        return
    if not isinstance(entry.get("category", ""), str):
        yield f"category must be a string, got {entry['category']!r}"
    frames = entry.get("frames")
    if not isinstance(frames, list) or not frames:
        yield f"frames must be a list with at least one name, got {frames!r}"
        return
    wrong = [frame for frame in frames if not isinstance(frame, str)]
    if wrong:
        yield f"frames must be names as strings (\"00005\"), got {wrong[0]!r}"
        return
    yield from (fault for frame in frames if (fault := name_fault(frame)))
    if sorted(set(frames)) != frames:
        yield "frames must be in order, each once"


def read_seen_unseen(path: Path) -> frozenset[str]:
    """Categories that ``seen_unseen.json`` calls seen; raise :class:`DataError` if it has no such list."""
    content = read_json(path)
    seen = content.get("seen") if isinstance(content, dict) else None
    if not isinstance(seen, list) or not all(isinstance(name, str) for name in seen):
        raise DataError(f"{path}: expected {{\"seen\": [names], \"unseen\": [names]}}")
    return frozenset(seen)
