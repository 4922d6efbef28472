"""Small YouTube-VIS files for the tests of the evaluation."""

import numpy as np
from pycocotools import mask as coco

from vosplug.cli.rivals import load_rival

SIZE = (24, 40)
plain_scores = load_rival("youtube_vis_plain").plain_scores


def pack(mask: np.ndarray) -> dict:
    """Compressed run lengths as a JSON file has them."""
    packed = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(mask.shape), "counts": packed["counts"].decode()}


def unpack(segmentation, size=SIZE) -> np.ndarray:
    """The mask of run lengths or None."""
    return np.zeros(size, bool) if segmentation is None else coco.decode(segmentation).astype(bool)


def random_track(rng, frames: int, size=SIZE, density: float = 0.5) -> list:
    """Boxes, noise, full and empty masks, and None."""
    track = []
    for _ in range(frames):
        kind = rng.integers(6)
        mask = np.zeros(size, bool)
        if kind == 0:
            mask = rng.random(size) < density
        elif kind == 1:
            mask[:] = True
        elif kind < 5:
            (top, bottom), (left, right) = (np.sort(rng.integers(0, side + 1, 2)) for side in size)
            mask[top:bottom, left:right] = True
        track.append(None if kind == 5 else pack(mask))
    return track


def random_case(seed: int, videos: int = 4, categories: int = 3, frames: int = 3) -> tuple[dict, list[dict]]:
    """An annotation file and results with ties, crowds, empty tracks, several sizes of areas."""
    rng = np.random.default_rng(seed)
    content = {"categories": [{"id": c, "name": f"c{c}"} for c in range(1, categories + 1)], "videos": [],
               "annotations": []}
    results = []
    for v in range(1, videos + 1):
        size = (24, 40) if v % 2 else (180, 300)
        names = [f"v{v}/{t:05d}.jpg" for t in range(frames)]
        content["videos"].append({"id": v, "height": size[0], "width": size[1], "length": frames, "file_names": names})
        for _ in range(int(rng.integers(0, 4))):
            track = random_track(rng, frames, size)
            category = int(rng.integers(1, categories + 1))
            content["annotations"].append({"id": len(content["annotations"]) + 1, "video_id": v,
                                           "category_id": category, "iscrowd": int(rng.random() < 0.2),
                                           "segmentations": track})
            for _ in range(int(rng.integers(0, 5))):
                copy = [None if rng.random() < 0.15 else m for m in track] if rng.random() < 0.8 else \
                    random_track(rng, frames, size)
                results.append({"video_id": v, "category_id": category if rng.random() < 0.8 else 1,
                                "score": float(rng.integers(1, 6)) / 5, "segmentations": copy})
    return content, results
