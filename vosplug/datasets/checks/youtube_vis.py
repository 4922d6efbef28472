"""Check of a YouTube-VIS tree."""

from functools import partial
from pathlib import Path
from typing import Any

from ...utils.errors import DataError, did_you_mean
from ...utils.files import read_json
from ...utils.names import path_fault
from ...utils.rle import segmentation_fault
from ...utils.vis_json import crowd_fault
from .base import Job, Result, job_of_faults

LAYOUT = "<split>.json and <split>/JPEGImages/<video>/00000.jpg with split = train, valid or test"


def check_youtube_vis(root: Path, split: str | None = None) -> list[Job]:
    """Jobs for all JSON files in ``root`` that hold videos (or for ``<split>.json``), their pictures and instances."""
    layout = Result()
    jobs = [job_of_faults("layout", layout)]
    paths = sorted(root.glob("*.json")) if root.is_dir() else []
    if split is not None:
        known = [path.stem for path in paths]
        if split not in known:
            hint = did_you_mean(split, known)
            layout.fault(root / f"{split}.json", f"file not found.{hint} Expected layout: {LAYOUT}")
        paths = [path for path in paths if path.stem == split]
    elif not paths:
        layout.fault(root, f"has no JSON file. Expected layout: {LAYOUT}")
    for path in paths:
        try:
            content = read_json(path)
        except DataError as error:
            layout.faults.append(str(error))
            continue
        if not isinstance(content, dict) or not isinstance(content.get("videos"), list):
            layout.fault(path, "expected an object with the list 'videos'")
            continue
        jobs += _file_jobs(layout, root, path, content)
    return jobs


def _file_jobs(layout: Result, root: Path, path: Path, content: dict) -> list[Job]:
    videos = _by_id(layout, path, content["videos"], "video")
    categories = _by_id(layout, path, content.get("categories"), "category")
    for number, category in categories.items():
        if not isinstance(category.get("name"), str):
            layout.fault(path, f"category {number}: name must be a string, got {category.get('name')!r}")
    # Published validation and test files have no annotations.
    annotations = content.get("annotations")
    instances = {} if annotations is None else _by_id(layout, path, annotations, "annotation")
    per_video: dict[int, list[dict]] = {number: [] for number in videos}
    for number, instance in instances.items():
        video, category = instance.get("video_id"), instance.get("category_id")
        if not _is_int(category) or category not in categories:
            layout.fault(path, f"annotation {number}: category_id {category!r} is not among the categories")
        if not _is_int(video) or video not in videos:
            layout.fault(path, f"annotation {number}: video_id {video!r} is not among the videos")
        else:
            per_video[video].append(instance)
    folder = _image_folder(root, path.stem, videos)
    return [Job(f"{path.name}/{number}", partial(_check_video, path, folder, video, per_video[number]))
            for number, video in videos.items()]


def _by_id(layout: Result, path: Path, entries: Any, kind: str) -> dict[int, dict]:
    if not isinstance(entries, list):
        layout.fault(path, f"expected a list of {kind} entries, got {type(entries).__name__}")
        return {}
    result: dict[int, dict] = {}
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict) or not _is_int(entry.get("id")):
            layout.fault(path, f"{kind} entry {place}: expected an object with a whole number 'id'")
        elif entry["id"] in result:
            layout.fault(path, f"two {kind} entries have the id {entry['id']}")
        else:
            result[entry["id"]] = entry
    return result


def _image_folder(root: Path, stem: str, videos: dict[int, dict]) -> Path:
    """Folder that the file names are relative to: the first candidate that has a picture of the file."""
    names = [name for video in videos.values() for name in _names(video)]
    candidates = [root / stem / "JPEGImages", root / stem, root / "JPEGImages", root]
    return next((c for c in candidates if any((c / name).is_file() for name in names)), candidates[0])


def _names(video: dict) -> list[str]:
    names = video.get("file_names")
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _check_video(path: Path, folder: Path, video: dict, instances: list[dict]) -> Result:
    result = Result()
    result.counts["videos"] += 1
    where = f"{path}, video {video['id']}"
    names = _names(video)
    if not names or len(names) != len(video["file_names"]):
        result.fault(where, f"file_names must be a list of strings, got {str(video.get('file_names'))[:60]}")
    size = (video.get("height"), video.get("width"))
    if not all(_is_int(side) and side > 0 for side in size):
        result.fault(where, f"height and width must be whole numbers above 0, got {size[0]!r} and {size[1]!r}")
        size = None
    if "length" in video and (not _is_int(video["length"]) or video["length"] != len(names)):
        result.fault(where, f"length is {video['length']!r}, but there are {len(names)} file names")
    for name in names:
        fault = path_fault(name)
        if fault:
            result.fault(where, fault)
            continue
        found = result.image(folder / name)
        if found is not None and size is not None and found != size:
            result.fault(folder / name, f"the picture is {found[1]} x {found[0]}, but {path.name} says "
                                        f"{size[1]} x {size[0]} (width x height)")
    for instance in instances:
        result.counts["instances"] += 1
        _check_instance(result, f"{path}, annotation {instance['id']}", instance, len(names), size)
    return result


def _check_instance(result: Result, where: str, instance: dict, length: int, size: tuple[int, int] | None) -> None:
    lists = {key: instance.get(key) for key in ("segmentations", "bboxes", "areas")}
    if crowd_fault(instance):
        result.fault(where, crowd_fault(instance))
    wrong = [key for key, value in lists.items() if not isinstance(value, list) or len(value) != length]
    for key in wrong:
        found = f"{len(lists[key])} entries" if isinstance(lists[key], list) else type(lists[key]).__name__
        result.fault(where, f"{key} must be a list with one entry for each of the {length} frames, got {found}")
    if "segmentations" not in wrong:
        if all(entry is None for entry in lists["segmentations"]):
            result.fault(where, "has no segmentation in any frame")
        for frame, segmentation in enumerate(lists["segmentations"]):
            fault = None if segmentation is None else segmentation_fault(segmentation, size)
            if fault:
                result.fault(f"{where}, frame {frame}", fault)
    if wrong:
        return
    for frame, (segmentation, box, area) in enumerate(zip(*lists.values(), strict=True)):
        if not (segmentation is None) == (box is None) == (area is None):
            result.fault(f"{where}, frame {frame}", "segmentation, bbox and area must be null together")
        elif box is not None and not (isinstance(box, list) and len(box) == 4 and all(map(_is_number, box))):
            result.fault(f"{where}, frame {frame}", f"a bbox must be [x, y, width, height], got {str(box)[:60]}")
        elif area is not None and not _is_number(area):
            result.fault(f"{where}, frame {frame}", f"an area must be a number, got {area!r}")


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
