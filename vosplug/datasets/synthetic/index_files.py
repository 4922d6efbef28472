"""The lists and JSON files of the three layouts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pycocotools import mask as coco

from ...utils.files import write_json, write_text
from .classes import CLASSES, category_id
from .layouts import VideoRecord, frame_name


def write_davis_lists(root: Path, records: Sequence[VideoRecord]) -> None:
    """Write ``ImageSets/{2016,2017}/{train,val}.txt``."""
    for year in ("2016", "2017"):
        for split in ("train", "val"):
            names = [r.task.name for r in records if r.task.split == split]
            write_text(root / "ImageSets" / year / f"{split}.txt", "".join(f"{name}\n" for name in names))


def write_vos_metas(root: Path, records: Sequence[VideoRecord]) -> None:
    """Write ``meta.json`` of the splits and of the reference, and ``seen_unseen.json``.

    Seen categories are those of the training split, unseen ones occur in the validation split alone.
    """
    train, val = _split(records)
    for folder, part in (("train", train), ("valid", val), ("valid_reference", val)):
        write_json(root / folder / "meta.json", {"videos": {r.task.name: {"objects": _vos_objects(r)} for r in part}})
    seen = {r.categories[i] for r in train for i in r.vos_frames}
    unseen = {r.categories[i] for r in val for i in r.vos_frames} - seen
    groups = {"seen": sorted(seen), "unseen": sorted(unseen)}
    write_json(root / "seen_unseen.json", groups)
    write_json(root / "valid_reference" / "seen_unseen.json", groups)


def write_vis_annotations(root: Path, records: Sequence[VideoRecord]) -> None:
    """Write ``train.json`` (uncompressed run lengths), ``valid.json`` (compressed) and ``instances.json`` (both)."""
    train, val = _split(records)
    both: dict[str, list] = {"videos": [], "annotations": []}
    for split, part in (("train", train), ("valid", val)):
        videos, annotations = [], []
        for record in part:
            number = len(both["videos"]) + 1
            entry = _vis_video(record, number)
            videos.append(entry)
            both["videos"].append({**entry, "file_names": [f"{split}/JPEGImages/{n}" for n in entry["file_names"]]})
            for i in record.tracks:
                annotations.append(_vis_annotation(record, i, number, len(both["annotations"]) + 1, split == "valid"))
                both["annotations"].append(annotations[-1])
        write_json(root / f"{split}.json", _vis_file(videos, annotations))
    write_json(root / "instances.json", _vis_file(**both))


def _split(records: Sequence[VideoRecord]) -> tuple[list[VideoRecord], list[VideoRecord]]:
    return [r for r in records if r.task.split == "train"], [r for r in records if r.task.split == "val"]


def _vos_objects(record: VideoRecord) -> dict[str, Any]:
    return {str(i): {"category": record.categories[i], "frames": [frame_name(n) for n in numbers]}
            for i, numbers in record.vos_frames.items()}


def _vis_file(videos: list[dict], annotations: list[dict]) -> dict[str, Any]:
    info = {"description": "synthetic videos in the YouTube-VIS 2019 layout", "version": "1.0"}
    categories = [{"id": category_id(c.name), "name": c.name, "supercategory": "shape"} for c in CLASSES]
    return {"info": info, "licenses": [], "categories": categories, "videos": videos, "annotations": annotations}


def _vis_video(record: VideoRecord, number: int) -> dict[str, Any]:
    height, width = record.task.size
    names = [f"{record.task.name}/{frame_name(t)}.jpg" for t in range(record.task.num_frames)]
    return {"id": number, "width": width, "height": height, "length": len(names), "file_names": names}


def _vis_annotation(record: VideoRecord, i: int, video: int, number: int, compressed: bool) -> dict[str, Any]:
    height, width = record.task.size
    track = record.tracks[i]
    return {"id": number, "video_id": video, "category_id": category_id(record.categories[i]), "iscrowd": 0,
            "width": width, "height": height, "length": len(track),
            "segmentations": [entry and _segmentation(entry["counts"], [height, width], compressed) for entry in track],
            "bboxes": [entry and entry["bbox"] for entry in track],
            "areas": [entry and entry["area"] for entry in track]}


def _segmentation(counts: list[int], size: list[int], compressed: bool) -> dict[str, Any]:
    plain = {"counts": counts, "size": size}
    if not compressed:
        return plain
    return {"counts": coco.frPyObjects(plain, *size)["counts"].decode("ascii"), "size": size}
