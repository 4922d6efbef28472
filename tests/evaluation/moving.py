"""Videos of squares that move at known speeds."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vosplug.utils.images import write_image
from vosplug.utils.masks import write_mask

SIZE, SIDE = (48, 96), 20
COLOURS = np.array([[30, 60, 90], [220, 40, 40], [40, 220, 60], [60, 40, 230]], np.uint8)


def davis_tree(folder: Path, videos: Mapping[str, Sequence[tuple[int, int]]], frames: int) -> Path:
    """A DAVIS tree; each video has objects as (half of the frame, pixels per frame to the right), 20 x 20 each."""
    rng = np.random.default_rng(0)
    for name, objects in videos.items():
        noise = rng.integers(0, 25, (*SIZE, 3), dtype=np.uint8)
        for t in range(frames):
            labels = np.zeros(SIZE, np.uint8)
            for number, (half, speed) in enumerate(objects, start=1):
                top, left = 2 + 24 * half, 4 + speed * t
                labels[top:top + SIDE, left:left + SIDE] = number
            write_image(folder / "JPEGImages/480p" / name / f"{t:05d}.jpg", COLOURS[labels] + noise)
            write_mask(folder / "Annotations/480p" / name / f"{t:05d}.png", labels)
    lists = folder / "ImageSets/2017"
    lists.mkdir(parents=True, exist_ok=True)
    (lists / "val.txt").write_text("".join(f"{name}\n" for name in videos))
    return folder
