"""Reading the annotation and result files of YouTube-VIS. Loads no framework."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .containers import MAX_PIXELS
from .errors import DataError, did_you_mean
from .files import read_json
from .names import path_fault

RESULT_HINT = "a result is {'video_id', 'category_id', 'score', 'segmentations'}"


@dataclass(frozen=True)
class VISFile:
    """A checked annotation file.

    Attributes:
        path: where it was read from.
        categories: id -> name, by ascending id.
        videos: id -> entry with ``id height width file_names`` and ``name``, by ascending id.
        annotations: id of the video -> its annotations in file order; None if the file has none (published validation
            and test files).
    """

    path: Path
    categories: dict[int, str]
    videos: dict[int, dict]
    annotations: dict[int, list[dict]] | None

    def length(self, video: int) -> int:
        """Number of frames of a video."""
        return len(self.videos[video]["file_names"])

    def size(self, video: int) -> tuple[int, int]:
        """(H, W) of a video."""
        return self.videos[video]["height"], self.videos[video]["width"]


def read_vis_file(path: str | Path) -> VISFile:
    """Read an annotation file in the YouTube-VIS layout; segmentations are checked when they are used.

    Raises:
        DataError: the first fault.
    """
    return parse_vis_file(read_json(path), path)


def parse_vis_file(content: Any, path: str | Path) -> VISFile:
    """The same for the content of an annotation file; ``path`` is its name in messages."""
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected an object with videos, categories and annotations, got "
                        f"{type(content).__name__}; a result file is no reference")
    categories = _by_id(path, content, "categories")
    for number, category in categories.items():
        if not isinstance(category.get("name"), str):
            raise DataError(f"{path}, category {number}: name must be a string, got {category.get('name')!r}")
    videos = {number: _video(path, video) for number, video in _by_id(path, content, "videos").items()}
    names = [video["name"] for video in videos.values()]
    for number, video in videos.items():
        if names.count(video["name"]) > 1:
            video["name"] += f"_{number}"
    annotations = None
    if content.get("annotations") is not None:
        annotations = {number: [] for number in videos}
        for number, annotation in _by_id(path, content, "annotations", ordered=False).items():
            name = f"{path}, annotation {number}"
            _check_track(name, annotation, videos, categories)
            annotations[annotation["video_id"]].append({**annotation, "name": name})
    return VISFile(Path(path), {n: c["name"] for n, c in categories.items()}, videos, annotations)


def read_vis_results(path: str | Path, reference: VISFile) -> dict[int, list[dict]]:
    """Read a result file: id of the video -> its predictions in file order; see :func:`check_vis_results`."""
    return check_vis_results(read_json(path), reference, str(path))


def check_vis_results(results: Any, reference: VISFile, where: str) -> dict[int, list[dict]]:
    """Check predictions and sort them by video; each gets a ``name`` for messages.

    Args:
        results: a list of ``{"video_id", "category_id", "score", "segmentations"}``; empty if nothing was found.
        reference: of the data set.
        where: name of the file, for messages.

    Raises:
        DataError: the first fault. Run lengths are checked when they are used.
    """
    if not isinstance(results, list):
        raise DataError(f"{where}: results must be a list, got {type(results).__name__}; {RESULT_HINT}")
    sorted_by_video: dict[int, list[dict]] = {number: [] for number in reference.videos}
    for place, entry in enumerate(results):
        name = f"{where}, result {place}"
        if not isinstance(entry, dict):
            raise DataError(f"{name}: expected an object, got {type(entry).__name__}; {RESULT_HINT}")
        missing = [key for key in ("video_id", "category_id", "score", "segmentations") if key not in entry]
        if missing:
            raise DataError(f"{name}: {missing[0]!r} is missing.{did_you_mean(missing[0], entry)} {RESULT_HINT}")
        _check_track(name, entry, reference.videos, reference.categories)
        if not is_number(entry["score"]) or not math.isfinite(entry["score"]):
            raise DataError(f"{name}: score must be a finite number, got {entry['score']!r}")
        sorted_by_video[entry["video_id"]].append({**entry, "name": name})
    return sorted_by_video


def is_int(value: Any) -> bool:
    """Whether a value of a JSON file is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether a value of a JSON file is a number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _by_id(path: str | Path, content: Mapping, key: str, ordered: bool = True) -> dict[int, dict]:
    entries = content.get(key)
    if not isinstance(entries, list):
        near = did_you_mean(key, content) if entries is None else ""
        raise DataError(f"{path}: expected a list of {key}, got {'nothing' if entries is None else repr(entries)[:40]}."
                        f"{near}")
    if not entries and key != "annotations":
        raise DataError(f"{path}: the list of {key} is empty")
    result: dict[int, dict] = {}
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict) or not is_int(entry.get("id")):
            raise DataError(f"{path}: entry {place} of {key} must be an object with a whole number 'id', got "
                            f"{str(entry)[:60]}")
        if entry["id"] in result:
            raise DataError(f"{path}: two entries of {key} have the id {entry['id']}")
        result[entry["id"]] = entry
    return dict(sorted(result.items())) if ordered else result


def _video(path: str | Path, video: dict) -> dict:
    where = f"{path}, video {video['id']}"
    names = video.get("file_names")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise DataError(f"{where}: file_names must be a list of at least one string, got {str(names)[:60]}")
    for side in ("height", "width"):
        if not is_int(video.get(side)) or video[side] < 1:
            raise DataError(f"{where}: {side} must be a whole number above 0, got {video.get(side)!r}")
    if video["height"] * video["width"] > MAX_PIXELS:
        raise DataError(f"{where}: {video['width']} x {video['height']} pixels are more than can be read")
    fault = next((fault for name in names if (fault := path_fault(name))), None)
    if fault:
        raise DataError(f"{where}: {fault}")
    folder = Path(names[0]).parent
    return {**video, "name": folder.name or f"video{video['id']}"}


def _check_track(where: str, entry: Mapping, videos: Mapping[int, dict], categories: Mapping[int, Any]) -> None:
    video, category = entry.get("video_id"), entry.get("category_id")
    if not is_int(video) or video not in videos:
        raise DataError(f"{where}: video_id {video!r} is not among the {len(videos)} videos ({_some(videos)})")
    if not is_int(category) or category not in categories:
        raise DataError(f"{where}: category_id {category!r} is not among the {len(categories)} categories "
                        f"({_some(categories)})")
    fault = crowd_fault(entry)
    if fault:
        raise DataError(f"{where}: {fault}")
    length = len(videos[video]["file_names"])
    _check_list(where, "segmentations", entry.get("segmentations"), length)
    for key in ("bboxes", "areas"):
        if entry.get(key) is not None:
            _check_list(where, key, entry[key], length)


def crowd_fault(entry: Mapping) -> str | None:
    """Why ``iscrowd`` of an annotation says neither yes nor no; None if it does, or is left out."""
    value = entry.get("iscrowd", 0)
    return None if isinstance(value, int) and value in (0, 1) else f"iscrowd must be 0 or 1, got {value!r:.60}"


def _check_list(where: str, key: str, value: Any, length: int) -> None:
    if not isinstance(value, list) or len(value) != length:
        found = f"{len(value)} entries" if isinstance(value, list) else type(value).__name__
        raise DataError(f"{where}: {key} must be a list with one entry for each of the {length} frames, null where "
                        f"there is no mask; got {found}")


def _some(ids: Sequence | Mapping) -> str:
    ids = list(ids)
    return ", ".join(map(str, ids)) if len(ids) <= 6 else f"{ids[0]}, {ids[1]}, ... {ids[-1]}"
