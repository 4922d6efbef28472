"""``meta.json`` and ``seen_unseen.json`` of YouTube-VOS, checked while they are read."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..utils.errors import DataError
from ..utils.files import read_json
from ..utils.listing import natural_order, number_of
from ..utils.masks import MAX_OBJECTS
from ..utils.names import name_fault, name_faults

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
        return natural_order({frame for frames in self.frames.values() for frame in frames})


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
        objects = {object_number(key): entry for key, entry in video["objects"].items()}
        result[name] = VideoMeta({number: entry.get("category", "") for number, entry in objects.items()},
                                 {number: tuple(entry["frames"]) for number, entry in objects.items()})
    return result


def meta_faults(content: Any) -> Iterator[str]:
    """Yield one line per fault in the content of a ``meta.json``."""
    videos = content.get("videos") if isinstance(content, dict) else None
    if not isinstance(videos, dict) or not videos:
        yield "expected {\"videos\": {<name>: {\"objects\": ...}}} with at least one video"
        return
    yield from name_faults(videos)
    for name, video in videos.items():
        if name_fault(name):
            continue
        objects = video.get("objects") if isinstance(video, dict) else None
        if not isinstance(objects, dict) or not objects:
            yield f"video {name}: expected {{\"objects\": {{<id>: ...}}}} with at least one object"
            continue
        numbers = [object_number(key) for key in objects]
        twice = next((number for number in numbers if number and numbers.count(number) > 1), None)
        if twice is not None:
            yield f"video {name}: two objects have the id {twice}"
        for key, entry in objects.items():
            yield from (f"video {name}, object {key}: {fault}" for fault in _object_faults(key, entry))


def object_number(key: str) -> int | None:
    """The id that a key of ``objects`` stands for; None if it stands for none of 1..254."""
    number = number_of(key)
    return number if number is not None and 1 <= number <= MAX_OBJECTS else None


def _object_faults(key: str, entry: Any) -> Iterator[str]:
    if object_number(key) is None:
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
    yield from name_faults(frames)
    if natural_order(set(frames)) != frames:
        yield "frames must be in order, each once"


def read_seen_unseen(path: Path) -> frozenset[str]:
    """Categories that ``seen_unseen.json`` calls seen; raise :class:`DataError` if it has no such list."""
    content = read_json(path)
    seen = content.get("seen") if isinstance(content, dict) else None
    if not isinstance(seen, list) or not all(isinstance(name, str) for name in seen):
        raise DataError(f"{path}: expected {{\"seen\": [names], \"unseen\": [names]}}")
    return frozenset(seen)
