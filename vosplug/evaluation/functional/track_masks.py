"""Overlap of mask tracks, straight from their run lengths: no mask is ever decoded to pixels.

Run lengths go down the columns of a picture. So a frame is, for most objects, one stretch of rows per column, and the
overlap of two tracks is a minimum, a maximum and a difference over all columns of all frames at once. Columns with
several stretches have several layers of them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pycocotools import mask as coco

from ...utils.errors import DataError

_ZERO = 48  # '0', the character of the group 0 in compressed run lengths
_LONGEST = 6  # characters of a number; more would be a run of above 2**29 pixels
_CHUNK = 2**24  # columns that are worked on at a time
RLE_HINT = "write a mask as run lengths {'size': [height, width], 'counts': string}, null where there is none"


@dataclass
class Track:
    """The masks of one object in the T frames of a video.

    Attributes:
        areas: (T,) int64 pixels per frame, 0 where there is no mask.
        layers: ``(first frame, first column, top (t, w), bottom (t, w))``: the stretch of rows top <= y < bottom of each
            column; top = bottom = 0 where there is none.
    """

    areas: np.ndarray
    layers: list[tuple[int, int, np.ndarray, np.ndarray]] = field(default_factory=list)

    @property
    def mean_area(self) -> float:
        """Mean area over the frames that have a mask, 0 if none has."""
        return mean_area(self.areas)


def mean_area(areas: Sequence[float | None] | np.ndarray) -> float:
    """Mean of the areas that are neither missing nor 0; 0 if there is none."""
    found = [float(area) for area in areas if area]
    return float(np.mean(found)) if found else 0.0


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
    blank = _pack([size[0] * size[1]], size)
    for first in range(0, len(tracks), step):
        part = tracks[first:first + step]
        packed = [_packed(segmentation, size, blank, polygons, names[first + k], t)
                  for k, track in enumerate(part) for t, segmentation in enumerate(track)]
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
    totals = [[int(track.areas.sum()) for track in tracks] for tracks in (first, second)]
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            common = intersection(a, b)
            union = totals[0][i] + totals[1][j] - common
            result[i, j] = common / union if union else 0.0
    return result


def intersection(a: Track, b: Track) -> int:
    """Number of pixels that two tracks have in common, over all frames."""
    return sum(_layer_overlap(one, other) for one in a.layers for other in b.layers)


def _layer_overlap(a: tuple, b: tuple) -> int:
    (frame_a, column_a, top_a, bottom_a), (frame_b, column_b, top_b, bottom_b) = a, b
    frame, column = max(frame_a, frame_b), max(column_a, column_b)
    last_frame = min(frame_a + top_a.shape[0], frame_b + top_b.shape[0])
    last_column = min(column_a + top_a.shape[1], column_b + top_b.shape[1])
    if last_frame <= frame or last_column <= column:
        return 0
    in_a = np.s_[frame - frame_a:last_frame - frame_a, column - column_a:last_column - column_a]
    in_b = np.s_[frame - frame_b:last_frame - frame_b, column - column_b:last_column - column_b]
    height = np.minimum(bottom_a[in_a], bottom_b[in_b])
    height -= np.maximum(top_a[in_a], top_b[in_b])
    np.maximum(height, 0, out=height)
    return int(height.sum(dtype=np.int64))


def _packed(segmentation: Any, size: tuple[int, int], blank: bytes, polygons: bool, name: str, frame: int) -> bytes:
    """Compressed run lengths of one frame; their text is checked later, all frames at once."""
    if segmentation is None:
        return blank
    try:
        counts, stated = segmentation["counts"], segmentation["size"]
    except (TypeError, KeyError):
        return _polygon(segmentation, size, polygons, f"{name}, frame {frame}")
    if not isinstance(stated, (list, tuple)) or len(stated) != 2 or stated[0] != size[0] or stated[1] != size[1]:
        raise DataError(f"{name}, frame {frame}: the size of the run lengths is {stated!r}, but the video is "
                        f"{list(size)} (height, width)")
    if isinstance(counts, str):
        try:
            return counts.encode("ascii")
        except UnicodeEncodeError:
            return b"\x00"  # refused with the other characters that cannot occur
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
    tracks = [Track(areas[a:b]) for a, b in zip(bounds[:-1], bounds[1:], strict=True)]
    column, top, bottom = _stretches(start, end, size[0])
    for chosen in _layers(column):
        _add_layers(tracks, bounds * size[1], column[chosen], top[chosen], bottom[chosen], size[1])
    return tracks


def _add_layers(tracks: list[Track], bounds: np.ndarray, column: np.ndarray, top: np.ndarray, bottom: np.ndarray,
                width: int) -> None:
    """Give each track its layer of stretches, cut to the frames and columns that it needs."""
    cuts = np.searchsorted(column, bounds)
    frame = column // width
    x = column - frame * width
    used = np.flatnonzero(np.diff(cuts))
    left = np.minimum.reduceat(x, cuts[used])
    right = np.maximum.reduceat(x, cuts[used])
    for k, low, high in zip(used, left.tolist(), right.tolist(), strict=True):
        part = slice(cuts[k], cuts[k + 1])
        first, shape = int(frame[part.start]), (int(frame[part.stop - 1] - frame[part.start]) + 1, high - low + 1)
        place = (frame[part] - first) * shape[1]
        place += x[part]
        place -= low
        layer = np.zeros((2, shape[0] * shape[1]), top.dtype)
        layer[0][place], layer[1][place] = top[part], bottom[part]
        tracks[k].layers.append((first - int(bounds[k]) // width, low, *layer.reshape(2, *shape)))


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
    """Indices of the first stretch of every column, of the second ones, and so on; columns are in order."""
    if not len(column):
        return
    new = np.ones(len(column), bool)
    np.not_equal(column[1:], column[:-1], out=new[1:])
    if new.all():
        yield slice(None)
        return
    leading, rest = np.flatnonzero(new), np.flatnonzero(~new)
    yield leading
    rank = rest - leading[np.searchsorted(leading, rest) - 1]
    for number in range(1, int(rank.max()) + 1):
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
    chosen = np.flatnonzero(odd)
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
