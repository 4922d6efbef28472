"""Check of a folder of people's own videos."""

from functools import partial
from pathlib import Path

from ...utils.errors import DataError
from ...utils.masks import object_ids
from ...utils.names import name_fault
from ..folder_videos import LAYOUT, video_files, video_folders
from .base import Job, Result, folders_or_faults, job_of_faults, lists_agree


def check_folder(root: Path) -> list[Job]:
    """Jobs for all videos below ``root``."""
    layout = Result()
    jobs = [job_of_faults("layout", layout)]
    if folders_or_faults(layout, root):
        folders = video_folders(root)
        if not folders:
            layout.fault(root, f"has no videos. Expected layout: {LAYOUT}")
        jobs += [Job(name, partial(_check_video, name, folder)) for name, folder in folders.items()]
    return jobs


def _check_video(name: str, folder: Path) -> Result:
    result = Result()
    result.counts["videos"] += 1
    fault = name_fault(name)
    if fault:
        result.fault(folder, fault)
    try:
        frames, masks = video_files(folder)
    except DataError as error:
        result.faults.append(str(error))
        return result
    images = {path.stem: path for path in frames}
    lists_agree(result, images, masks, folder / "masks", every=False)
    all_sizes: set[tuple[int, int]] = set()
    sizes = {stem: result.image(path, all_sizes) for stem, path in images.items()}
    result.one_size(folder, all_sizes)
    started = 0
    if set(images) <= set(masks):
        result.short_video(folder, len(images))
    for stem, path in masks.items():
        labels = result.mask(path, sizes.get(stem), first=not started)
        if labels is not None and stem == next(iter(images)):
            result.id_gaps(path, labels)
        started += labels is not None and bool(object_ids(labels))
    if not masks:
        result.fault(folder, f"has no mask. Expected layout: {LAYOUT}")
    elif not started:
        result.fault(folder / "masks", "no mask has an object")
    return result
