"""Small data of every layout, for parts that read it."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco

from tests.datasets.test_static_image_clips import tree
from tests.datasets.trees import SIZE, davis_tree, folder_tree, frame, put_image, youtube_tree
from vosplug.utils.masks import write_mask


def make_trees(root: Path) -> Path:
    """All of them below ``root``."""
    davis_tree(root / "davis")
    davis_tree(root / "davis", {"val": ["alpha"]}, frames=1, year="2016")
    davis_tree(root / "davis_short", {"val": ["gamma"]}, frames=3)
    larger = frame(0, (1, 2), size=(96, 128))
    put_image(root / "davis/JPEGImages/Full-Resolution/gamma/00000.jpg", larger[0])
    write_mask(root / "davis/Annotations/Full-Resolution/gamma/00000.png", larger[1])
    youtube_tree(root / "youtube/2019")
    youtube_tree(root / "youtube/2018", reference=False)
    folder_tree(root / "folders")
    dense_tree(root / "dense")
    vis_tree(root / "vis/2019")
    vis_tree(root / "vis/2021", frames=3)
    tree(tree(root / "stills", "flat"), "folders", count=1)
    ids_tree(root / "ids")
    film(root / "film.avi", 4)
    film(root / "short.avi", 3)
    return root


def dense_tree(root: Path) -> None:
    """Two videos with all masks: a large object that frame 3 does not show, and a small one in the corner."""
    for name in ("one", "two"):
        for index in range(6):
            image, labels = frame(index, () if index == 3 else (1,))
            labels[-4:, -4:], image[-4:, -4:] = 2, 180
            put_image(root / name / "images" / f"{index:05d}.jpg", image)
            write_mask(root / name / "masks" / f"{index:05d}.png", labels)


def ids_tree(root: Path) -> None:
    """Pictures beside masks of three objects, one of them small."""
    for index in range(2):
        image, labels = frame(index, (1, 2))
        labels[-4:, -4:] = 3
        put_image(root / f"a{index}.jpg", image)
        write_mask(root / f"a{index}.png", labels)


def vis_tree(root: Path, frames: int = 6) -> None:
    """Two videos with three tracks: two long ones of different classes, one that a single frame shows."""
    annotations, videos = [], []
    for number, name in enumerate(("v", "w"), 1):
        masks = {1: [], 2: [], 3: []}
        for index in range(frames):
            image, labels = frame(index + number, (1, 2) if number == 1 or index == 1 else ())
            labels[-4:, -4:] = 3 if index == 1 else 0
            put_image(root / f"train/JPEGImages/{name}/{index:05d}.jpg", image)
            for track, found in masks.items():
                found.append(runs(labels == track) if (labels == track).any() else None)
        videos.append({"id": number, "width": SIZE[1], "height": SIZE[0], "length": frames,
                       "file_names": [f"{name}/{index:05d}.jpg" for index in range(frames)]})
        annotations += [
            {"id": 3 * number + track, "video_id": number, "category_id": min(track, 2), "iscrowd": 0,
             "width": SIZE[1], "height": SIZE[0], "length": frames, "segmentations": found,
             "bboxes": [x and coco.toBbox(x).tolist() for x in found],
             "areas": [x and int(coco.area(x)) for x in found]} for track, found in masks.items()]
    content = {"categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}], "videos": videos,
               "annotations": annotations}
    for split, kept in (("train", videos), ("valid", videos[:1])):
        names = {video["id"] for video in kept}
        (root / f"{split}.json").write_text(json.dumps(
            {**content, "videos": kept, "annotations": [a for a in annotations if a["video_id"] in names]}))
    (root / "valid").symlink_to("train")


def runs(mask: np.ndarray) -> dict[str, Any]:
    """Compressed run lengths of a mask (H, W)."""
    found = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(found["size"]), "counts": found["counts"].decode()}


def film(path: Path, frames: int) -> None:
    """A video file."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, SIZE[::-1])
    for index in range(frames):
        writer.write(frame(index)[0])
    writer.release()
