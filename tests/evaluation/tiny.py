"""Small data sets on disk for the tests of the evaluation."""

import json
from pathlib import Path

import numpy as np

from vosplug.structures import Video
from vosplug.utils.images import write_image
from vosplug.utils.masks import write_mask

SIZE = (36, 48)


def labels(seed: int, ids: int = 2, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A label map with all of ``ids`` boxes."""
    rng = np.random.default_rng(seed)
    result = np.zeros(size, np.uint8)
    for number in range(1, ids + 1):
        y, x = rng.integers(0, 12), rng.integers(0, 8)
        result[y + 2:y + 20, x + 20 * (number - 1):x + 20 * (number - 1) + 14] = number
    return result


def davis_root(root: Path, frames: dict[str, int], seed: int = 0, pictures: bool = True) -> Path:
    """A DAVIS root with the given sequences: name -> number of frames; all of them in the list val."""
    for number, (name, count) in enumerate(sorted(frames.items())):
        for index in range(count):
            mask = labels(seed + 10 * number + index)
            write_mask(root / "Annotations/480p" / name / f"{index:05d}.png", mask)
            if pictures:
                write_image(root / "JPEGImages/480p" / name / f"{index:05d}.jpg", np.repeat(mask[..., None] * 60, 3, 2))
    for year in ("2016", "2017"):
        (root / "ImageSets" / year).mkdir(parents=True)
        (root / "ImageSets" / year / "val.txt").write_text("\n".join(sorted(frames)) + "\n")
    return root


def predict(root: Path, out: Path, shift: int = 2) -> Path:
    """Predictions for a DAVIS root: its annotations, shifted to the right."""
    from vosplug.utils.masks import read_mask

    for path in sorted((root / "Annotations/480p").glob("*/*.png")):
        write_mask(out / path.parent.name / path.name, np.roll(read_mask(path), shift, axis=1))
    return out


def videos(root: Path) -> list[Video]:
    """The videos of a DAVIS root."""
    found = []
    for folder in sorted((root / "Annotations/480p").iterdir()):
        masks = sorted(folder.glob("*.png"))
        images = [root / "JPEGImages/480p" / folder.name / f"{path.stem}.jpg" for path in masks]
        found.append(Video(name=folder.name, image_paths=images, mask_paths=masks, prompts={0: (1, 2)},
                           first_frames={1: 0, 2: 0}, has_reference=True))
    return found


def youtube_vos_root(root: Path) -> Path:
    """A YouTube-VOS reference with one video: object 1 (dog) from the first, object 2 (duck) from the second frame."""
    frames = ["00000", "00005", "00010", "00015"]
    for index, frame in enumerate(frames):
        write_mask(root / "Annotations/v1" / f"{frame}.png", labels(index, ids=2 if index else 1))
    objects = {"1": {"category": "dog", "frames": frames}, "2": {"category": "duck", "frames": frames[1:]}}
    (root / "meta.json").write_text(json.dumps({"videos": {"v1": {"objects": objects}}}))
    (root / "seen_unseen.json").write_text(json.dumps({"seen": ["dog"], "unseen": ["duck"]}))
    return root
