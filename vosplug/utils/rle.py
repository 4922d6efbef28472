"""Whether a segmentation is one of the three legal forms. Nothing is decoded by a library that trusts its input."""

from typing import Any

_MOST_BITS = 60  # of a run length
_FARTHEST = 100_000  # pixels, of a point of a polygon in a picture of unknown size


def segmentation_fault(segmentation: Any, size: tuple[int, int] | None) -> str | None:
    """The fault of a segmentation (run lengths as list or string, or polygons), or None.

    Args:
        segmentation: what the JSON file has for one frame.
        size: (H, W) of the video, if it is known.
    """
    if isinstance(segmentation, list):
        return polygon_fault(segmentation, size)
    if not isinstance(segmentation, dict) or not {"size", "counts"} <= set(segmentation):
        return f"a segmentation must be run lengths with size and counts, or polygons, got {str(segmentation)[:60]}"
    stated = segmentation["size"]
    if not isinstance(stated, list) or len(stated) != 2 or not all(_whole(side) and side > 0 for side in stated):
        return f"bad run lengths: size must be [height, width], got {stated!r}"
    if size is not None and tuple(stated) != tuple(size):
        return f"bad run lengths: size is {stated}, but the video is {list(size)} (height, width)"
    counts = segmentation["counts"]
    if isinstance(counts, str):
        counts = decompress(counts)
        if counts is None:
            return "bad run lengths: the string is cut short or has characters that cannot occur"
    if not isinstance(counts, list) or not all(_whole(run) and run >= 0 for run in counts):
        return "bad run lengths: counts must be a string or a list of whole numbers of at least 0"
    if sum(counts) != stated[0] * stated[1]:
        return f"bad run lengths: they cover {sum(counts)} pixels, the picture has {stated[0] * stated[1]}"
    return None


def decompress(text: str) -> list[int] | None:
    """Run lengths of COCO's compressed form, or None if the text is damaged.

    Each number is written in groups of five bits, lowest first, as characters from ``0`` on; the sixth bit says that
    more groups follow, the fifth bit of the last group is the sign. From the fourth run on, a number is the difference
    to the run two before it.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        group = ord(character) - 48
        if not 0 <= group < 64:
            return None
        value |= (group & 31) << shift
        shift += 5
        if shift > _MOST_BITS:
            return None
        if not group & 32:
            if group & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return None if shift else runs


def polygon_fault(polygons: list, size: tuple[int, int] | None) -> str | None:
    """The fault of a list of polygons in a picture of (H, W), or None."""
    reach = _FARTHEST if size is None else 2 * max(size)
    if not polygons:
        return "a list of polygons must not be empty; write null where the object is absent"
    for polygon in polygons:
        numbers = isinstance(polygon, list) and all(
            isinstance(v, (int, float)) and not isinstance(v, bool) for v in polygon)
        if not numbers or len(polygon) < 6 or len(polygon) % 2:
            return f"a polygon must be a flat list of at least three points (x, y), got {str(polygon)[:60]}"
        if not all(-reach <= v <= reach for v in polygon):  # not a number is no such number either
            return f"a point of a polygon lies far outside of the picture: {str(polygon)[:60]}"
    return None


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
