"""Check of a DAVIS tree."""

from functools import partial
from pathlib import Path

import numpy as np

from ...utils.errors import DataError, did_you_mean
from ...utils.listing import folders_in, masks_in, pictures_in
from ...utils.masks import object_ids
from ...utils.names import listed_names, name_fault, name_faults
from ..davis import LAYOUT, PROMPT_ONLY, SPLITS
from ..layout import check_choice
from .base import Job, Result, folders_or_faults, job_of_faults, lists_agree


def check_davis(root: Path, split: str | None = None, resolution: str | None = None) -> list[Job]:
    """Jobs for all sequences of all lists (or of the lists named ``split``) in all resolutions (or one)."""
    layout = Result()
    if not folders_or_faults(layout, *(root / name for name in ("JPEGImages", "Annotations", "ImageSets"))):
        layout.fault(root, f"expected layout: {LAYOUT}")
        return [job_of_faults("layout", layout)]
    sequences = _listed(layout, root, split)
    resolutions = [resolution] if resolution else folders_in(root / "JPEGImages")
    if not resolutions:
        layout.fault(root / "JPEGImages", "has no folder of a resolution (480p, Full-Resolution)")
    jobs = [job_of_faults("layout", layout)]
    for folder in resolutions:
        if folders_or_faults(layout, root / "JPEGImages" / folder):
            jobs += [Job(f"{folder}/{name}", partial(_check_sequence, root, folder, name, lists))
                     for name, lists in sequences.items()]
    return jobs


def _listed(layout: Result, root: Path, split: str | None) -> dict[str, set[tuple[str, str]]]:
    """Sequence -> (folder, name) of the lists that have it."""
    sequences: dict[str, set[tuple[str, str]]] = {}
    known = sorted({name for names in SPLITS.values() for name in names})
    lists = sorted((root / "ImageSets").glob("*/*.txt"))
    if split is not None:
        lists = [path for path in lists if path.stem == split]
        if not lists:
            check_choice("DAVIS split", split, known)
    if not lists:
        layout.fault(root / "ImageSets", f"has no list <year>/{split or '<split>'}.txt")
    for path in lists:
        if path.stem not in known:
            layout.fault(path, f"unknown split.{did_you_mean(path.stem, known)} Known: {', '.join(known)}")
        try:
            names = listed_names(path)
        except DataError as error:
            layout.faults.append(str(error))
            continue
        if not names:
            layout.fault(path, "lists no sequence")
        for fault in name_faults(names):
            layout.fault(path, fault)
        for name in dict.fromkeys(names):
            if names.count(name) > 1:
                layout.fault(path, f"lists {name} twice")
            if name_fault(name) is None:
                sequences.setdefault(name, set()).add((path.parent.name, path.stem))
    return sequences


def _check_sequence(root: Path, resolution: str, name: str, lists: set[tuple[str, str]]) -> Result:
    result = Result()
    result.counts["videos"] += 1
    image_folder = root / "JPEGImages" / resolution / name
    mask_folder = root / "Annotations" / resolution / name
    if not folders_or_faults(result, image_folder, mask_folder):
        return result
    try:
        images = {path.stem: path for path in pictures_in(image_folder)}
    except DataError as error:
        result.faults.append(str(error))
        return result
    masks = masks_in(mask_folder)
    splits = {split for _, split in lists}
    prompt_only = splits <= set(PROMPT_ONLY)
    lists_agree(result, images, masks, mask_folder, every=not prompt_only)
    all_sizes: set[tuple[int, int]] = set()
    sizes = {stem: result.image(path, all_sizes) for stem, path in images.items()}
    result.one_size(image_folder, all_sizes)
    if "val" in splits:
        result.short_video(image_folder, len(images))
    if {year for year, _ in lists} & {"2017"}:
        _check_ids(result, images, masks, sizes, scored=bool(splits & {"val", *PROMPT_ONLY}))
    else:  # masks of DAVIS 2016 may be ids or 0 and 255
        _check_ids(result, images, masks, sizes, scored=False, foreground=255)
    _check_binary(result, root / "Annotations_2016" / resolution, name, images, sizes)
    return result


def _check_ids(result: Result, images: dict, masks: dict, sizes: dict, scored: bool, foreground: int = 1) -> None:
    """Check masks of ids; ``foreground`` 255 lets void count as an object in the first one."""
    first = next(iter(images))
    started: list[int] | None = None
    for stem in (stem for stem in images if stem in masks):
        labels = result.mask(masks[stem], sizes[stem], first=stem == first)
        if labels is None:
            continue
        if stem == first:
            started = object_ids(labels)
            if scored:
                result.id_gaps(masks[stem], labels)
            if not started and not (foreground == 255 and (labels == 255).any()):
                hint = " (255 is void: this looks like a mask of DAVIS 2016)" if (labels == 255).any() else ""
                result.fault(masks[stem], f"the first mask has no object, but objects start there{hint}")
        elif scored and started:
            result.unexpected_ids(masks[stem], labels, started, "the first mask of the sequence")
    if first not in masks:
        result.fault(images[first], "the first frame has no mask, but objects start there")


def _check_binary(result: Result, folder: Path, name: str, images: dict, sizes: dict) -> None:
    """``Annotations_2016`` is optional, as a whole and per sequence (only those of DAVIS 2016 are in it)."""
    masks = masks_in(folder / name)
    if not masks:
        return
    lists_agree(result, images, masks, folder / name)
    for stem in (stem for stem in images if stem in masks):
        labels = result.mask(masks[stem], sizes[stem])
        if labels is None:
            continue
        values = np.unique(labels)
        if not np.isin(values, (0, 255)).all():
            result.fault(masks[stem], f"expected the values 0 and 255 only, found {values[(values % 255) > 0][0]}")
        elif stem == next(iter(images)) and 255 not in values:
            result.fault(masks[stem], "the first mask is empty, but the object starts there")
