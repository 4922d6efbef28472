"""Compressed run lengths of many masks at once, without a Python loop over their runs.

In the compressed form each number is written in groups of five bits, lowest first, as characters from ``0`` on; the
sixth bit says that more groups follow, the fifth bit of the last group is the sign. From the fourth number on, a number
is the difference to the one two before it. Numbers are lengths of background and foreground runs in turn.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ...utils.errors import DataError

_ZERO = 48  # '0', the character of the group 0, and of the number 0
_LONGEST = 6  # characters of a number; more would be a run of above 2**29 pixels


@dataclass
class Runs:
    """Foreground runs of F pictures, as if they lay beside each other.

    Attributes:
        start, end: (R,) pixels start <= p < end of each run, in order; runs may be empty.
        areas: (F,) foreground pixels of each picture.
    """

    start: np.ndarray
    end: np.ndarray
    areas: np.ndarray


def read_runs(texts: Sequence[str], pixels: int, where: Callable[[int], str]) -> Runs:
    """Decode run lengths.

    Args:
        texts: of F pictures, at least one.
        pixels: of every picture.
        where: what to call a picture in messages.

    Raises:
        DataError: run lengths are not well-formed, or do not fill a picture.
    """
    background, foreground, first = _lanes(texts, where)
    if background.min() < 0 or foreground.min() < 0:
        place = int(np.flatnonzero((background < 0) | (foreground < 0))[0])
        raise DataError(f"{where(int(np.searchsorted(first, place, side='right')) - 1)}: bad run lengths: a run has "
                        "less than 0 pixels")
    # Whole pictures and sums within one are below 2**31 in nearly all cases.
    most = pixels * max(len(texts), 2 * int(np.diff(first).max()))
    kind = np.int32 if most < 2**31 and max(background.max(), foreground.max()) <= pixels else np.int64
    end = np.cumsum(np.add(background, foreground, dtype=kind), dtype=kind)
    wrong = np.flatnonzero(end[first[1:] - 1] != np.arange(1, len(texts) + 1, dtype=np.int64) * pixels)
    if len(wrong):
        row = int(wrong[0])
        raise DataError(f"{where(row)}: bad run lengths: they cover {int(end[first[row + 1] - 1]) - row * pixels} "
                        f"pixels, the picture has {pixels}")
    return Runs(end - foreground, end, np.add.reduceat(foreground, first[:-1]))


def _lanes(texts: Sequence[str], where: Callable[[int], str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Background and foreground runs, as many of each, and the index of the first pair of each picture (and the end).

    Where a picture ends with background, an empty foreground run follows.
    """
    sizes = np.fromiter(map(len, texts), np.int64, len(texts))
    stops = np.cumsum(sizes + 1)  # behind the number 0 that is put behind every picture
    codes, more = _codes(texts, sizes, stops, where)
    gone = np.flatnonzero(more)
    counts = np.diff(stops - np.searchsorted(gone, stops), prepend=0)
    even = (counts & 1).astype(bool)  # without the added number, which is then not wanted
    if even.any():
        more[stops[even] - 1] = True
        gone = np.flatnonzero(more)
    first = np.concatenate([[0], np.cumsum(counts >> 1)])
    numbers = ((codes[~more] ^ np.uint8(16)) - np.uint8(16)).view(np.int8)
    lanes = np.empty((2, len(numbers) // 2), np.int32)
    lanes[0], lanes[1] = numbers[0::2], numbers[1::2]
    _add_groups(lanes, numbers, codes, gone, stops, where)
    long = first[:-1][counts > 3]
    lanes[0][long + 1] -= lanes[0][long]  # the third number is no difference
    for lane in lanes:
        lane[first[1:-1]] -= np.add.reduceat(lane, first[:-1])[:-1]
        np.cumsum(lane, out=lane)
    lanes[1][first[1:][~even] - 1] = 0
    return *lanes, first


def _codes(texts: Sequence[str], sizes: np.ndarray, stops: np.ndarray,
           where: Callable[[int], str]) -> tuple[np.ndarray, np.ndarray]:
    """Groups of all pictures, each followed by the number 0, and whether more groups follow; checked."""
    joined = chr(_ZERO).join(texts) + chr(_ZERO)
    fault = "bad run lengths: the string is empty, cut short or has characters that cannot occur"
    if not joined.isascii():
        raise DataError(f"{where(next(k for k, text in enumerate(texts) if not text.isascii()))}: {fault}")
    codes = np.frombuffer(joined.encode("ascii"), np.uint8) - np.uint8(_ZERO)
    if codes.max() > 63:
        place = int(np.argmax(codes > 63))
        raise DataError(f"{where(int(np.searchsorted(stops, place, side='right')))}: {fault}")
    more = codes > 31
    cut = np.flatnonzero((sizes == 0) | more[stops - 2])
    if len(cut):
        raise DataError(f"{where(int(cut[0]))}: {fault}")
    return codes, more


def _add_groups(lanes: np.ndarray, numbers: np.ndarray, codes: np.ndarray, dropped: np.ndarray, stops: np.ndarray,
                where: Callable[[int], str]) -> None:
    """Put the groups among the places ``dropped`` before the last groups of their numbers, in ``lanes`` (2, R)."""
    low = codes[dropped]
    leading = low > 31
    owner = dropped - np.arange(len(dropped))  # the number that a group belongs to
    if not leading.all():
        owner, low, dropped = owner[leading], low[leading], dropped[leading]
    if not len(owner):
        return
    low &= 31
    final = np.append(owner[1:] != owner[:-1], True)  # the last of the leading groups of a number
    place = np.flatnonzero(final)
    owner, groups = owner[place], np.diff(place, prepend=-1)
    if groups.max() >= _LONGEST:
        row = int(np.searchsorted(stops, dropped[place[np.argmax(groups)]], side="right"))
        raise DataError(f"{where(row)}: bad run lengths: a number is too large")
    values = numbers[owner].astype(np.int32) * 32 + low[place]
    for depth in range(1, int(groups.max())):
        more = np.flatnonzero(groups > depth)
        values[more] = values[more] * 32 + low[place[more] - depth]
    lanes.ravel()[(owner & 1) * lanes.shape[1] + (owner >> 1)] = values
