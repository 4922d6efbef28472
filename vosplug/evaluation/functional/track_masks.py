"""Overlap of mask tracks, straight from their run lengths: no mask is ever decoded to pixels.

Run lengths go down the columns of a picture. So a frame is, for most objects, one stretch of rows per column. For one
track the stretches are put in a table by column; those of all other tracks look up theirs at once. Columns with several
stretches have further tables.
"""

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco

from ...utils.errors import DataError
from ...utils.rle import polygon_fault
from .run_lengths import read_runs

_CHUNK = 2**22  # columns that are worked on at a time
RLE_HINT = "write a mask as run lengths {'size': [height, width], 'counts': string}, null where there is none"


@dataclass
class Track:
    """The masks of one object in the T frames of a video.

    Attributes:
        areas: (T,) pixels per frame, 0 where there is no mask.
        first, last: its stretches of rows are those in ``stretches`` from ``first`` up to, not including, ``last``.
        stretches: of this and of other tracks.
        cells: T * W.
    """

    areas: np.ndarray
    first: int
    last: int
    stretches: "Stretches"
    cells: int

    @property
    def mean_area(self) -> float:
        """Mean area over the frames that have a mask, 0 if none has."""
        return mean_area(self.areas.tolist())


@dataclass(eq=False)
class Stretches:
    """Stretches of rows of several tracks, one track after the other.

    Attributes:
        column: (S,) frame * W + x within the track, in order; a column may have several.
        span: (S,) -top and bottom as one number of twice their size (so that they are fetched together): the rows are
            top <= y < bottom.
    """

    column: np.ndarray
    span: np.ndarray


def mean_area(areas: Sequence[float | None]) -> float:
    """Mean of the areas that are neither missing nor 0; 0 if there is none."""
    found = [area for area in areas if area]
    return sum(found) / len(found) if found else 0.0


def read_tracks(tracks: Sequence[Sequence[Any]], size: tuple[int, int], names: Sequence[str],
                polygons: int = 0) -> list[Track]:
    """Read the segmentations of tracks of one video.

    Args:
        tracks: per track T segmentations: compressed or plain run lengths, None for no mask.
        size: (H, W) of the video.
        names: what to call each track in messages.
        polygons: in so many tracks, the first ones, polygons are allowed too (reference files).

    Raises:
        DataError: a segmentation is not a mask of that size.
    """
    result: list[Track] = []
    length = max((len(track) for track in tracks), default=0)
    # Pixels of a chunk are counted in 32 bits, unless a single track has more.
    step = max(1, min(_CHUNK // max(1, length * size[1]), (2**31 - 1) // max(1, length * size[0] * size[1])))
    for first in range(0, len(tracks), step):
        part = tracks[first:first + step]
        lengths = np.array([len(track) for track in part])

        def where(row: int, first: int = first, lengths: np.ndarray = lengths) -> str:
            k = int(np.searchsorted(np.cumsum(lengths), row, side="right"))
            return f"{names[first + k]}, frame {row - int(lengths[:k].sum())}"

        texts = _texts(part, size, int(lengths[:max(0, polygons - first)].sum()), where)
        result += _tracks(texts, lengths, size, where) if texts else [_nothing(size) for _ in part]
    return result


def _texts(tracks: Sequence[Sequence[Any]], size: tuple[int, int], polygons: int, where: Any) -> list[str]:
    """Compressed run lengths of all frames of all tracks, an empty mask for None; their text is checked later.

    Polygons are allowed in the first ``polygons`` frames.
    """
    entries = list(itertools.chain.from_iterable(tracks))
    blank, stated = _pack([size[0] * size[1]], size), list(size)
    try:  # the usual form with no work for each entry: there are very many of them
        texts = [blank if entry is None else entry["counts"] for entry in entries]
        sizes = [entry["size"] for entry in entries if entry is not None]
        usual = sizes.count(stated) == len(sizes) and set(map(type, texts)) <= {str}
    except (TypeError, KeyError, ValueError, IndexError):
        usual = False
    if usual:
        return texts
    return [blank if entry is None else _packed(entry, size, row < polygons, functools.partial(where, row))
            for row, entry in enumerate(entries)]


def _nothing(size: tuple[int, int]) -> Track:
    """A track without frames."""
    none = np.zeros(0, np.int32)
    return Track(none, 0, 0, Stretches(*_stretches(none, none, size[0])), 0)


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
    used = [i for i, track in enumerate(first) if track.last > track.first]
    if not used or not len(second):
        return result
    column, span, starts = _joined([first[i] for i in used])
    for j, track in enumerate(second):
        table, *more = _tables(track)
        result[used, j] = np.add.reduceat(_common(column, span, table), starts, dtype=np.int64)
        if more:  # few columns have several stretches
            chosen = np.flatnonzero(more[0].take(column))
            owner = np.searchsorted(starts, chosen, side="right") - 1
            height = sum(_common(column[chosen], span[chosen], table).astype(np.int64) for table in more)
            result[used, j] += np.bincount(owner, weights=height, minlength=len(used)).astype(np.int64)
    return result


def _joined(tracks: Sequence[Track]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns and spans of all stretches of tracks, and where each track begins; no copy if they lie in a row."""
    owner, first, last = tracks[0].stretches, tracks[0].first, tracks[-1].last
    if all(a.stretches is b.stretches and a.last == b.first for a, b in itertools.pairwise(tracks)):
        return owner.column[first:last], owner.span[first:last], np.array([track.first - first for track in tracks])
    column, span = (np.concatenate([getattr(track.stretches, name)[track.first:track.last] for track in tracks])
                    for name in ("column", "span"))
    return column, span, np.cumsum([0, *(track.last - track.first for track in tracks[:-1])])


def _common(column: np.ndarray, span: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Rows that stretches share with those of a table."""
    half = np.dtype(f"i{span.itemsize // 2}")
    rows = table.take(column).view(half)
    np.minimum(rows, span.view(half), out=rows)
    height = rows[0::2] + rows[1::2]
    return np.maximum(height, 0, out=height)


def _tables(track: Track) -> list[np.ndarray]:
    """(T * W,) span of one stretch of each column (0 where there is none), then of a second one, and so on."""
    column, span = (values[track.first:track.last] for values in (track.stretches.column, track.stretches.span))
    tables = []
    for chosen in _layers(column):
        table = np.zeros(track.cells, span.dtype)
        table[column[chosen]] = span[chosen]
        tables.append(table)
    return tables


def _packed(segmentation: Any, size: tuple[int, int], polygons: bool, where: Callable[[], str]) -> str:
    """Compressed run lengths of one frame; their text is checked later, all frames at once."""
    try:
        counts, stated = segmentation["counts"], segmentation["size"]
    except (TypeError, KeyError):
        return _polygon(segmentation, size, polygons, where)
    if not isinstance(stated, (list, tuple)) or len(stated) != 2 or stated[0] != size[0] or stated[1] != size[1]:
        raise DataError(f"{where()}: the size of the run lengths is {stated!r}, but the video is {list(size)} (height, "
                        "width)")
    if isinstance(counts, str):
        return counts
    if isinstance(counts, bytes):
        return counts.decode("latin-1")
    if isinstance(counts, list):
        return _pack(counts, size, where)
    raise DataError(f"{where()}: counts must be a string or a list of numbers, got "
                    f"{type(counts).__name__}; {RLE_HINT}")


def _pack(counts: list, size: tuple[int, int], where: Callable[[], str] = str) -> str:
    if not all(type(run) is int and run >= 0 for run in counts):
        raise DataError(f"{where()}: bad run lengths: counts must be whole numbers of at least 0")
    if sum(counts) != size[0] * size[1]:
        raise DataError(f"{where()}: bad run lengths: they cover {sum(counts)} pixels, the picture has "
                        f"{size[0] * size[1]}")
    return coco.frPyObjects({"size": list(size), "counts": counts}, *size)["counts"].decode("ascii")


def _polygon(segmentation: Any, size: tuple[int, int], allowed: bool, where: Callable[[], str]) -> str:
    if not isinstance(segmentation, list):
        raise DataError(f"{where()}: not a segmentation: {str(segmentation)[:60]}; {RLE_HINT}")
    if not allowed:
        raise DataError(f"{where()}: polygons are not accepted in results; {RLE_HINT}")
    fault = polygon_fault(segmentation, size)
    if fault:
        raise DataError(f"{where()}: {fault}")
    return coco.merge(coco.frPyObjects(segmentation, *size))["counts"].decode("ascii")


def _tracks(texts: list[str], lengths: np.ndarray, size: tuple[int, int], where: Any) -> list[Track]:
    runs = read_runs(texts, size[0] * size[1], where)
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    column, span = _stretches(runs.start, runs.end, size[0])
    cuts = np.searchsorted(column, bounds * size[1])
    within = np.subtract(column[:cuts[-1]], np.repeat(bounds[:-1] * size[1], np.diff(cuts)), dtype=np.intp)
    stretches = Stretches(within, span)
    return [Track(runs.areas[low:high], first, last, stretches, (high - low) * size[1])
            for low, high, first, last in zip(*(values.tolist() for values in (bounds[:-1], bounds[1:], cuts[:-1],
                                                                             cuts[1:])), strict=True)]


def _stretches(start: np.ndarray, end: np.ndarray, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut runs at the ends of columns: column and span of each piece, in order.

    An empty run at the end of a picture becomes an empty stretch of the next column, which has no effect.
    """
    column = start // height
    base = column * height
    if len(end) and (end - base).max() > height:
        pieces = (end - 1) // height - column + 1
        order = np.repeat(np.arange(len(column)), pieces)
        inner = np.arange(len(order)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        column = column[order] + inner
        base = column * height
        start, end = np.maximum(start[order], base), np.minimum(end[order], base + height)
    span = np.empty((len(column), 2), _kind(height))
    span[:, 0], span[:, 1] = base - start, end - base
    return column, span.view(f"i{2 * span.itemsize}")[:, 0]


def _kind(height: int) -> type:
    """Type of rows."""
    return np.int16 if height < 2**15 else np.int32


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
