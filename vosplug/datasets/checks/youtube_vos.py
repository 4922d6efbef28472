"""Check of a YouTube-VOS tree."""

from functools import partial
from pathlib import Path
from typing import Any

from ...utils.errors import DataError, did_you_mean
from ...utils.files import read_json
from ...utils.listing import folders_in, masks_in, pictures_in
from ...utils.masks import object_ids
from ...utils.names import name_fault
from ..youtube_vos import LAYOUT
from ..youtube_vos_meta import meta_faults, object_number, read_seen_unseen
from .base import Job, Result, folders_or_faults, job_of_faults, lists_agree

BASES = ("train", "valid", "test")


def check_youtube_vos(root: Path, split: str | None = None) -> list[Job]:
    """Jobs for all videos of the splits that exist (or of ``split``), of their 30 fps frames and reference masks."""
    layout = Result()
    jobs = [job_of_faults("layout", layout)]
    splits = [split.removesuffix("_all_frames")] if split else [name for name in BASES if (root / name).is_dir()]
    if not splits:
        layout.fault(root, f"has none of the folders {', '.join(BASES)}. Expected layout: {LAYOUT}")
    for name in splits:
        jobs += _split_jobs(layout, root, name)
    for path in [root / "seen_unseen.json", *(root / name / "seen_unseen.json" for name in splits)]:
        if path.is_file():
            try:
                read_seen_unseen(path)
            except DataError as error:
                layout.faults.append(str(error))
    return jobs


def _split_jobs(layout: Result, root: Path, split: str) -> list[Job]:
    folder = root / split
    if not folder.is_dir():
        layout.fault(folder, f"folder not found.{did_you_mean(split, BASES)} Expected layout: {LAYOUT}")
        return []
    meta = _meta(layout, folder / "meta.json")
    if not folders_or_faults(layout, folder / "JPEGImages", folder / "Annotations") or meta is None:
        return []
    for name in sorted(set(folders_in(folder / "JPEGImages")) - set(meta)):
        layout.fault(folder / "JPEGImages" / name, "video that meta.json lacks")
    for name in sorted(set(folders_in(folder / "Annotations")) - set(meta)):
        layout.fault(folder / "Annotations" / name, "video that meta.json lacks")
    jobs = [Job(f"{split}/{name}", partial(_check_video, folder, name, objects, split == "train"))
            for name, objects in sorted(meta.items())]
    reference = root / f"{split}_reference" / "Annotations"
    if reference.is_dir():
        jobs += [Job(f"{split}_reference/{name}", partial(_check_reference, folder, reference, name, objects))
                 for name, objects in sorted(meta.items())]
    for all_frames in (root / f"{split}_all_frames", root / "all_frames" / f"{split}_all_frames"):
        if all_frames.is_dir() and folders_or_faults(layout, all_frames / "JPEGImages"):
            run = partial(_check_all_frames, all_frames / "JPEGImages")
            jobs += [Job(f"{all_frames.name}/{name}", partial(run, name, objects))
                     for name, objects in sorted(meta.items())]
    return jobs


def _meta(layout: Result, path: Path) -> dict[str, dict[int, list[str]]] | None:
    """Video -> object id -> its frames, of what is well formed; faults are noted."""
    try:
        content = read_json(path)
    except DataError as error:
        layout.faults.append(str(error))
        return None
    for fault in meta_faults(content):
        layout.fault(path, fault)
    videos = content.get("videos") if isinstance(content, dict) else None
    if not isinstance(videos, dict):
        return None
    return {name: _usable_objects(video) for name, video in videos.items() if name_fault(name) is None}


def _usable_objects(video: Any) -> dict[int, list[str]]:
    objects = video.get("objects") if isinstance(video, dict) else None
    usable = {}
    for key, entry in objects.items() if isinstance(objects, dict) else ():
        frames = entry.get("frames") if isinstance(entry, dict) else None
        if object_number(key) is not None and isinstance(frames, list):
            names = [frame for frame in frames if name_fault(frame) is None]
            usable.update({object_number(key): names} if names else {})
    return usable


def _images(result: Result, folder: Path, objects: dict[int, list[str]]) -> dict[str, Path]:
    """Frames of a video; a missing folder and frames of meta.json that it lacks are noted."""
    if not folders_or_faults(result, folder):
        return {}
    try:
        images = {path.stem: path for path in pictures_in(folder)}
    except DataError as error:
        result.faults.append(str(error))
        return {}
    for frame in sorted({frame for frames in objects.values() for frame in frames} - set(images)):
        result.fault(folder / f"{frame}.jpg", "missing: meta.json lists this frame")
    return images


def _check_video(folder: Path, name: str, objects: dict[int, list[str]], training: bool) -> Result:
    result = Result()
    result.counts["videos"] += 1
    images = _images(result, folder / "JPEGImages" / name, objects)
    mask_folder = folder / "Annotations" / name
    if not folders_or_faults(result, mask_folder) or not images:
        return result
    masks = masks_in(mask_folder)
    lists_agree(result, images, masks, mask_folder, every=training)
    all_sizes: set[tuple[int, int]] = set()
    sizes = {stem: result.image(path, all_sizes) for stem, path in images.items()}
    result.one_size(folder / "JPEGImages" / name, all_sizes)
    starts: dict[str, list[int]] = {}
    for number, frames in objects.items():
        starts.setdefault(frames[0], []).append(number)
    for stem, path in masks.items():
        labels = result.mask(path, sizes.get(stem), first=stem in starts)
        if labels is not None:
            result.unexpected_ids(path, labels, objects, "meta.json")
            for number in sorted(set(starts.get(stem, [])) - set(object_ids(labels))):
                result.fault(path, f"object {number} starts in this frame, but the mask does not have it")
    for stem in sorted(set(starts) & set(images) - set(masks)):
        if not training:  # in training data lists_agree has named it already
            result.fault(mask_folder / f"{stem}.png", f"missing: object {starts[stem][0]} starts in this frame")
    return result


def _check_reference(folder: Path, reference: Path, name: str, objects: dict[int, list[str]]) -> Result:
    result = Result()
    masks = masks_in(reference / name)
    images = _images(result, folder / "JPEGImages" / name, {})
    for frame in sorted({frame for frames in objects.values() for frame in frames}):
        if frame not in masks:
            result.fault(reference / name / f"{frame}.png", "missing: this frame is scored")
            continue
        labels = result.mask(masks[frame], result.image(images[frame]) if frame in images else None)
        if labels is not None:
            result.unexpected_ids(masks[frame], labels, objects, "meta.json")
    return result


def _check_all_frames(folder: Path, name: str, objects: dict[int, list[str]]) -> Result:
    result = Result()
    sizes: set[tuple[int, int]] = set()
    for path in _images(result, folder / name, objects).values():
        result.image(path, sizes)
    result.one_size(folder / name, sizes)
    return result
