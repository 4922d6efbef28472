"""Overlap of mask tracks, straight from their run lengths: no mask is ever decoded to pixels.

Run lengths go down the columns of a picture. So a frame is, for most objects, one stretch of rows per column. For one
track the stretches are put in a table by column; those of all other tracks look up theirs at once. Columns with several
stretches have further tables.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco

from ...utils.errors import DataError

_ZERO = 48  # '0', the character of the group 0 in compressed run lengths
_LONGEST = 6  # characters of a number; more would be a run of above 2**29 pixels
_CHUNK = 2**22  # columns that are worked on at a time
RLE_HINT = "write a mask as run lengths {'size': [height, width], 'counts': string}, null where there is none"


@dataclass
class Track:
    """The masks of one object in the T frames of a video.

    Attributes:
        areas: (T,) pixels per frame, 0 where there is no mask.
        column: (S,) frame * W + x of each stretch of rows, in order; a column may have several.
        top, bottom: (S,) rows top <= y < bottom of each stretch.
        cells: T * W.
    """

    areas: np.ndarray
    column: np.ndarray
    top: np.ndarray
    bottom: np.ndarray
    cells: int

    @property
    def mean_area(self) -> float:
        """Mean area over the frames that have a mask, 0 if none has."""
        return mean_area(self.areas.tolist())


def mean_area(areas: Sequence[float | None]) -> float:
    """Mean of the areas that are neither missing nor 0; 0 if there is none."""
    found = [area for area in areas if area]
    return sum(found) / len(found) if found else 0.0


def read_tracks(tracks: Sequence[Sequence[Any]], size: tuple[int, int], names: Sequence[str],
                polygons: bool = False) -> list[Track]:
    """Read the segmentations of tracks of one video.

    Args:
        tracks: per track T segmentations: compressed or plain run lengths, None for no mask.
        size: (H, W) of the video.
        names: what to call each track in messages.
        polygons: whether polygons are allowed, too (reference files).

    Raises:
        DataError: a segmentation is not a mask of that size.
    """
    result: list[Track] = []
    length = max((len(track) for track in tracks), default=0)
    # Pixels of a chunk are counted in 32 bits.
    step = max(1, min(_CHUNK // max(1, length * size[1]), (2**31 - 1) // max(1, length * size[0] * size[1])))
    blank, stated = _pack([size[0] * size[1]], size), list(size)
    for first in range(0, len(tracks), step):
        part = tracks[first:first + step]
        packed = []
        for name, track in zip(names[first:first + step], part, strict=True):
            for t, entry in enumerate(track):
                # The usual form without a call: there are very many of these.
                if type(entry) is dict and type(entry.get("counts")) is str and entry.get("size") == stated:
                    packed.append(entry["counts"].encode("utf-8", "surrogatepass"))  # not ASCII: refused later
                else:
                    packed.append(blank if entry is None else _packed(entry, size, polygons, name, t))
        lengths = np.array([len(track) for track in part])

        def where(row: int, first: int = first, lengths: np.ndarray = lengths) -> str:
            k = int(np.searchsorted(np.cumsum(lengths), row, side="right"))
            return f"{names[first + k]}, frame {row - int(lengths[:k].sum())}"

        result += _tracks(packed, lengths, size, where)
    return result


def overlaps(first: Sequence[Track], second: Sequence[Track]) -> np.ndarray:
    """Intersection over union of all tracks of one video with all others.

    The sum over the frames of the intersections divided by the sum of the unions; 0 where the union is empty.

    Returns:
        (len(first), len(second)) float64.
    """
    result = np.zeros((len(first), len(second)))
    if not result.size:
        return result
    totals = [[int(track.areas.sum()) for track in tracks] for tracks in (first, second)]
    common = intersections(first, second)
    union = np.array(totals[0])[:, None] + np.array(totals[1])[None] - common
    np.divide(common, union, out=result, where=union > 0)
    return result


def intersections(first: Sequence[Track], second: Sequence[Track]) -> np.ndarray:
    """Number of pixels that tracks of one video have in common, over all frames: (len(first), len(second)) int64."""
    result = np.zeros((len(first), len(second)), np.int64)
    used = [i for i, track in enumerate(first) if len(track.column)]
    if not used or not len(second):
        return result
    column, top, bottom = (np.concatenate([getattr(first[i], name) for i in used])
                           for name in ("column", "top", "bottom"))
    starts = np.cumsum([0, *(len(first[i].column) for i in used[:-1])])
    for j, track in enumerate(second):
        (upper, lower), *more = _tables(track)
        result[used, j] = np.add.reduceat(_common(column, top, bottom, upper, lower), starts, dtype=np.int64)
        if more:
            several = more[0][1] > 0
            chosen = np.flatnonzero(several[column])
            owner = np.searchsorted(starts, chosen, side="right") - 1
            height = sum(_common(column[chosen], top[chosen], bottom[chosen], *table).astype(np.int64)
                         for table in more)
            result[used, j] += np.bincount(owner, weights=height, minlength=len(used)).astype(np.int64)
    return result


def _common(column: np.ndarray, top: np.ndarray, bottom: np.ndarray, upper: np.ndarray,
            lower: np.ndarray) -> np.ndarray:
    """Rows that stretches share with those of a table."""
    height = np.minimum(bottom, lower[column])
    height -= np.maximum(top, upper[column])
    return np.maximum(height, 0, out=height)


def _tables(track: Track) -> list[tuple[np.ndarray, np.ndarray]]:
    """Top and bottom of one stretch of each column (0, 0 where there is none), then of a second one, and so on."""
    tables = []
    for chosen in _layers(track.column):
        upper, lower = np.zeros((2, track.cells), track.top.dtype)
        place = track.column[chosen]
        upper[place], lower[place] = track.top[chosen], track.bottom[chosen]
        tables.append((upper, lower))
    return tables


def _packed(segmentation: Any, size: tuple[int, int], polygons: bool, name: str, frame: int) -> bytes:
    """Compressed run lengths of one frame; their text is checked later, all frames at once."""
    try:
        counts, stated = segmentation["counts"], segmentation["size"]
    except (TypeError, KeyError):
        return _polygon(segmentation, size, polygons, f"{name}, frame {frame}")
    if not isinstance(stated, (list, tuple)) or len(stated) != 2 or stated[0] != size[0] or stated[1] != size[1]:
        raise DataError(f"{name}, frame {frame}: the size of the run lengths is {stated!r}, but the video is "
                        f"{list(size)} (height, width)")
    if isinstance(counts, str):
        return counts.encode("utf-8", "surrogatepass")
    if isinstance(counts, bytes):
        return counts
    if isinstance(counts, list):
        return _pack(counts, size, f"{name}, frame {frame}")
    raise DataError(f"{name}, frame {frame}: counts must be a string or a list of numbers, got "
                    f"{type(counts).__name__}; {RLE_HINT}")


def _pack(counts: list, size: tuple[int, int], where: str = "") -> bytes:
    if not all(type(run) is int and run >= 0 for run in counts):
        raise DataError(f"{where}: bad run lengths: counts must be whole numbers of at least 0")
    if sum(counts) != size[0] * size[1]:
        raise DataError(f"{where}: bad run lengths: they cover {sum(counts)} pixels, the picture has "
                        f"{size[0] * size[1]}")
    return coco.frPyObjects({"size": list(size), "counts": counts}, *size)["counts"]


def _polygon(segmentation: Any, size: tuple[int, int], allowed: bool, where: str) -> bytes:
    if not isinstance(segmentation, list):
        raise DataError(f"{where}: not a segmentation: {str(segmentation)[:60]}; {RLE_HINT}")
    if not allowed:
        raise DataError(f"{where}: polygons are not accepted in results; {RLE_HINT}")
    parts = segmentation
    if not parts or not all(isinstance(p, list) and len(p) >= 6 and len(p) % 2 == 0
                            and all(type(v) in (int, float) for v in p) for p in parts):
        raise DataError(f"{where}: a polygon must be a flat list of at least three points (x, y), got "
                        f"{str(parts)[:60]}")
    return coco.merge(coco.frPyObjects(parts, *size))["counts"]


def _tracks(packed: list[bytes], lengths: np.ndarray, size: tuple[int, int], where: Any) -> list[Track]:
    start, end, per_frame = _foreground(packed, size, where)
    sums = np.concatenate([[0], np.cumsum(end - start)])
    offsets = np.concatenate([[0], np.cumsum(per_frame)])
    areas = sums[offsets[1:]] - sums[offsets[:-1]]
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    column, top, bottom = _stretches(start, end, size[0])
    cuts = np.searchsorted(column, bounds * size[1])
    return [Track(areas[low:high], np.subtract(column[first:last], low * size[1], dtype=np.intp), top[first:last],
                  bottom[first:last], int(high - low) * size[1])
            for low, high, first, last in zip(bounds[:-1], bounds[1:], cuts[:-1], cuts[1:], strict=True)]


def _stretches(start: np.ndarray, end: np.ndarray, height: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut runs at the ends of columns: column, top, bottom of each piece, in order."""
    column = start // height
    pieces = (end - 1) // height - column + 1
    if len(pieces) and pieces.max() > 1:
        order = np.repeat(np.arange(len(column)), pieces)
        inner = np.arange(len(order)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        column = column[order] + inner
        start, end = np.maximum(start[order], column * height), np.minimum(end[order], (column + 1) * height)
    kind = np.int16 if height < 2**15 else np.int32
    base = column * height
    return column, (start - base).astype(kind), (end - base).astype(kind)


def _layers(column: np.ndarray) -> Iterator[Any]:
    """Indices of the stretches of each table; columns are in order.

    The first table gets all stretches: they are written in order, so that of each column the last one remains. The
    second gets the last but one of each column, and so on.
    """
    yield slice(None)
    rest = np.flatnonzero(column[1:] == column[:-1])
    place = np.arange(len(rest))
    end = np.append(np.diff(rest) != 1, True)
    # Stretches that come after one, of those that are not the last in their columns.
    rank = np.minimum.accumulate(np.where(end, place, len(rest))[::-1])[::-1] - place
    for number in range(int(rank.max()) + 1 if len(rank) else 0):
        yield rest[rank == number]


def _foreground(packed: list[bytes], size: tuple[int, int], where: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Foreground runs of all frames, as if the frames lay beside each other: start, end, and runs per frame."""
    runs, first = _runs(packed, where)
    count = np.diff(first)
    pixels = size[0] * size[1]
    wrong = np.flatnonzero(np.add.reduceat(runs, first[:-1], dtype=np.int64) != pixels)
    negative = np.flatnonzero(runs < 0) if runs.min() < 0 else ()
    if len(negative) or len(wrong):
        row = int(np.searchsorted(first, negative[0], side="right")) - 1 if len(negative) else int(wrong[0])
        fault = "a run has less than 0 pixels" if len(negative) else \
            f"they cover {int(runs[first[row]:first[row + 1]].sum())} pixels, the picture has {pixels}"
        raise DataError(f"{where(row)}: bad run lengths: {fault}")
    # The second, fourth, ... run of every frame is foreground.
    odd = np.repeat((first[:-1] & 1).astype(np.uint8), count)
    odd[1::2] ^= 1
    chosen = np.flatnonzero(odd.view(bool))
    end, per_frame = np.cumsum(runs, dtype=np.int32)[chosen], count // 2
    start = end - runs[chosen]
    solid = end > start
    if not solid.all():
        per_frame = np.bincount(np.searchsorted(first, chosen[solid], side="right") - 1, minlength=len(packed))
        start, end = start[solid], end[solid]
    return start, end, per_frame


def _runs(packed: list[bytes], where: Any) -> tuple[np.ndarray, np.ndarray]:
    """All runs of all frames, and the index of the first run of each frame (and one past the last).

    In the compressed form each number is written in groups of five bits, lowest first, as characters from ``0`` on; the
    sixth bit says that more groups follow, the fifth bit of the last group is the sign. From the fourth run on, a
    number is the difference to the run two before it.
    """
    sizes = np.fromiter(map(len, packed), np.int64, len(packed))
    codes = np.frombuffer(b"".join(packed), np.uint8) - np.uint8(_ZERO)
    stops = np.cumsum(sizes)
    more = codes > 31
    bad = np.flatnonzero((codes > 63) if len(codes) and codes.max() > 63 else ())
    cut = np.flatnonzero((sizes == 0) | more[np.maximum(stops - 1, 0)] if len(codes) else sizes == 0)
    if len(bad) or len(cut):
        row = int(np.searchsorted(stops, bad[0], side="right")) if len(bad) else int(cut[0])
        raise DataError(f"{where(row)}: bad run lengths: the string is empty, cut short or has characters that cannot "
                        "occur")
    leading = np.flatnonzero(more)
    numbers = ((codes[~more] ^ 16).view(np.int8) - np.int8(16)).astype(np.int32)
    _add_groups(numbers, codes, leading, stops, where)
    first = np.concatenate([[0], stops - np.searchsorted(leading, stops)])
    return _integrate(numbers, first), first


def _add_groups(numbers: np.ndarray, codes: np.ndarray, leading: np.ndarray, stops: np.ndarray, where: Any) -> None:
    """Put the groups at ``leading`` before the last groups of their numbers."""
    if not len(leading):
        return
    low = codes[leading] & 31
    owner = leading - np.arange(len(leading))  # the number that a group belongs to
    begin = np.flatnonzero(np.diff(owner, prepend=-1))
    groups = np.diff(begin, append=len(owner))
    if groups.max() >= _LONGEST:
        row = int(np.searchsorted(stops, leading[begin[np.argmax(groups)]], side="right"))
        raise DataError(f"{where(row)}: bad run lengths: a number is too large")
    place, depth = begin + groups - 1, 0
    while len(place):
        chosen = owner[place]
        numbers[chosen] = numbers[chosen] * 32 + low[place]
        depth += 1
        keep = groups > depth
        place, groups = place[keep] - 1, groups[keep]


def _integrate(numbers: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Undo the differences: one running sum for every second number, started anew in each frame."""
    begin, count = first[:-1], np.diff(first)
    long = begin[count > 2]
    numbers[long + 2] -= numbers[long]  # the third number is no difference
    for parity in (0, 1):
        lane = numbers[parity::2]
        entry = begin + ((begin & 1) != parity)
        entry = entry[entry < first[1:]] >> 1
        before = np.cumsum(lane, dtype=np.int32)[entry - 1]
        before[entry == 0] = 0
        lane[entry] -= np.diff(before, prepend=np.int32(0))
        np.cumsum(lane, dtype=np.int32, out=lane)
    return numbers
