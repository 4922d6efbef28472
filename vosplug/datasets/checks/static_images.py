"""Check of a set of static images with one mask each."""

from functools import partial
from pathlib import Path

from ...utils.errors import DataError
from ..static_layouts import STATIC_LAYOUTS
from .base import Job, Result, folders_or_faults, job_of_faults


def check_static(root: Path, layout: str | None = None) -> list[Job]:
    """Jobs for all images in the given layout, or in the one in which most images have a mask."""
    found = Result()
    jobs = [job_of_faults("layout", found)]
    if not folders_or_faults(found, root):
        return jobs
    candidates, refused = [], []
    for name in [layout] if layout else STATIC_LAYOUTS:
        try:
            candidates.append(STATIC_LAYOUTS[name][0](root))
        except DataError as error:  # noqa: PERF203 (what is wrong in one layout may be right in another)
            refused.append(str(error))
    images, masks = max(candidates, key=lambda pair: (len(set(pair[0]) & set(pair[1])), len(pair[0])),
                        default=({}, {}))
    if not images:
        found.faults += refused[:1]
        texts = [f"{name}: {text}" for name, (_, text) in STATIC_LAYOUTS.items() if layout in (None, name)]
        found.fault(root, f"no images found. Expected layout: {'; '.join(texts)}")
        return jobs
    for key in sorted(set(masks) - set(images)):
        found.fault(masks[key], "mask without an image of that name")
    for key in sorted(set(images) - set(masks)):
        found.fault(images[key], "image without a mask")
    return jobs + [Job(key, partial(_check_pair, images[key], masks[key])) for key in sorted(set(images) & set(masks))]


def _check_pair(image: Path, mask: Path) -> Result:
    result = Result()
    labels = result.mask(mask, result.image(image), binary=True)
    if labels is not None and not labels.any():
        result.fault(mask, "the mask is empty")
    return result
