"""Tiny data trees for tests: moving squares on noise."""

import json
from pathlib import Path

import numpy as np

from vosplug.utils.images import write_image
from vosplug.utils.masks import write_mask

SIZE = (48, 64)


def frame(index: int, ids: tuple[int, ...] = (1,), size: tuple[int, int] = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """A picture with one bright square per id, and its mask; squares move to the right."""
    image = np.random.default_rng(index).integers(0, 80, (*size, 3), dtype=np.uint8)
    labels = np.zeros(size, np.uint8)
    for place, number in enumerate(ids):
        top, left = 4 + 22 * place, 4 + 3 * index
        labels[top:top + 16, left:left + 16] = number
    image[labels > 0] = 220
    return image, labels


def put_image(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, image)


def davis_tree(root: Path, lists: dict[str, list[str]] | None = None, frames: int = 6, ids=(1, 2),
               year: str = "2017") -> Path:
    """DAVIS layout with 480p frames."""
    lists = {"train": ["alpha", "beta"], "val": ["gamma"]} if lists is None else lists
    for split, names in lists.items():
        path = root / "ImageSets" / year / f"{split}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(names) + "\n")
        for name in names:
            for index in range(frames):
                image, labels = frame(index, ids)
                put_image(root / f"JPEGImages/480p/{name}/{index:05d}.jpg", image)
                if split != "test-dev" or index == 0:
                    write_mask(root / f"Annotations/480p/{name}/{index:05d}.png", labels)
    return root


def youtube_tree(root: Path, reference: bool = True) -> Path:
    """YouTube-VOS layout: in ``valid/v2`` the object 4 starts at frame 10; the mask there is not complete."""
    frames = [f"{5 * k:05d}" for k in range(5)]
    for split, names in {"train": ["t1", "t2"], "valid": ["v1", "v2"]}.items():
        videos = {}
        for name in names:
            late = name == "v2"
            videos[name] = {"objects": {"1": {"category": "dog", "frames": frames}}}
            if late:
                videos[name]["objects"]["4"] = {"category": "goblin", "frames": frames[2:]}
            for index, stem in enumerate(frames):
                image, labels = frame(index, (1, 4) if late and index >= 2 else (1,))
                put_image(root / split / "JPEGImages" / name / f"{stem}.jpg", image)
                folder = root / split / "Annotations" / name
                if split == "train" or index == 0:
                    write_mask(folder / f"{stem}.png", labels)
                elif late and index == 2:
                    write_mask(folder / f"{stem}.png", np.where(labels == 4, 4, 0).astype(np.uint8))
                if split == "valid" and reference:
                    write_mask(root / "valid_reference" / "Annotations" / name / f"{stem}.png", labels)
        (root / split / "meta.json").write_text(json.dumps({"videos": videos}))
    for name in ("v1", "v2"):
        for index in range(21):
            put_image(root / f"valid_all_frames/JPEGImages/{name}/{index:05d}.jpg", frame(index)[0])
    return root


def folder_tree(root: Path) -> Path:
    """Own videos: ``one`` with images/ and masks/ and an object from frame 2 on, ``two`` with mask.png."""
    for index in range(4):
        put_image(root / f"one/images/{index:05d}.jpg", frame(index, (1, 2))[0])
        put_image(root / f"two/{index:05d}.jpg", frame(index)[0])
    write_mask(root / "one/masks/00000.png", frame(0)[1])
    write_mask(root / "one/masks/00002.png", frame(2, (1, 2))[1])
    write_mask(root / "two/mask.png", frame(0)[1])
    return root


def vis_tree(root: Path) -> dict:
    """YouTube-VIS layout: one video, an instance per form of a segmentation; returns the JSON content."""
    height, width = SIZE
    area = height * width
    for index in range(2):
        put_image(root / f"train/JPEGImages/v/{index:05d}.jpg", frame(index)[0])
    polygon = [[1.0, 1, 9, 1, 9, 9]]
    runs = {"size": [height, width], "counts": [10, 20, area - 30]}
    packed = {"size": [height, width], "counts": compress([10, 20, area - 30])}
    names = ["v/00000.jpg", "v/00001.jpg"]
    content = {
        "categories": [{"id": 1, "name": "person"}],
        "videos": [{"id": 1, "width": width, "height": height, "length": 2, "file_names": names}],
        "annotations": [
            {"id": k + 1, "video_id": 1, "category_id": 1, "iscrowd": 0, "width": width, "height": height, "length": 2,
             "segmentations": [form, None], "bboxes": [[0, 10, 1, 20], None], "areas": [20, None]}
            for k, form in enumerate((polygon, runs, packed))],
    }
    write_vis(root, content)
    return content


def write_vis(root: Path, content: dict) -> None:
    (root / "train.json").write_text(json.dumps(content))


def compress(runs: list[int]) -> str:
    """COCO's compressed run lengths, from pycocotools."""
    from pycocotools import mask
    mask_array = np.zeros(sum(runs), np.uint8)
    mask_array[runs[0]:runs[0] + runs[1]] = 1
    return mask.encode(np.asfortranarray(mask_array.reshape(SIZE, order="F")))["counts"].decode()
