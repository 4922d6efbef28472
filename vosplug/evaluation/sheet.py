"""A sheet of pictures of the frames with the lowest scores."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from ..utils.errors import DataError
from ..utils.images import read_image, write_image
from ..utils.listing import masks_in, pictures_in
from ..utils.masks import DAVIS_PALETTE, object_ids

COLUMNS = 3
TILES = 12
TILE_WIDTH = 480
_TEXT_HEIGHT = 26
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)
_FILL = 0.5


def write_worst_frames(path: str | Path, jobs: Sequence, results: Mapping[str, dict], count: int = TILES) -> None:
    """Write a sheet of the ``count`` frames with the lowest J&F.

    Each tile has the picture (black where there is none), the reference filled and outlined in white, and the outline
    of the prediction; fill and outline have the colours of the ids.

    Args:
        path: of the PNG or JPEG file.
        jobs: those that were scored, with ``name``, ``references``, ``predictions``, ``images`` and ``read``.
        results: per sequence as the jobs gave them.
        count: number of tiles.

    Raises:
        DataError: nothing was scored, or a file cannot be read any more.
    """
    by_name = {job.name: job for job in jobs}
    worst = worst_frames(results, count)
    if not worst:
        raise DataError("no frame was scored, so there is no sheet of the worst frames")
    tiles = [_tile(by_name[name], frame, score) for score, name, frame in worst]
    height = max(tile.shape[0] for tile in tiles)
    tiles = [cv2.copyMakeBorder(tile, 0, height - len(tile), 0, 0, cv2.BORDER_CONSTANT) for tile in tiles]
    columns = min(COLUMNS, len(tiles))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[i:i + columns]) for i in range(0, len(tiles), columns)]
    legend = np.zeros((_TEXT_HEIGHT, columns * TILE_WIDTH, 3), np.uint8)
    _write(legend, "frames with the lowest J&F; filled, white line: reference; coloured line: prediction")
    write_image(path, np.vstack([legend, *rows]))


def worst_frames(results: Mapping[str, dict], count: int) -> list[tuple[float, str, str]]:
    """(J&F, sequence, frame) of the frames with the lowest mean of J and F over their objects, lowest first."""
    scores = []
    for name in sorted(results):
        values: dict[str, list[float]] = {}
        for entry in results[name]["objects"].values():
            frames = entry.get("frames", results[name].get("frames"))
            for frame, region, boundary in zip(frames, entry["J"], entry["F"], strict=True):
                values.setdefault(frame, []).append((region + boundary) / 2)
        scores += [(sum(v) / len(v), name, frame) for frame, v in values.items()]
    return sorted(scores)[:count]


def _tile(job, frame: str, score: float) -> np.ndarray:
    reference = job.read(masks_in(job.references)[frame])
    size = TILE_WIDTH, max(1, round(TILE_WIDTH * reference.shape[0] / reference.shape[1]))
    reference, prediction = (cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
                             for labels in (reference, job.read_prediction(masks_in(job.predictions)[frame])))
    picture = _picture(job.images, frame, size)
    for number in object_ids(reference):
        mask = reference == number
        picture[mask] = (1 - _FILL) * picture[mask] + _FILL * DAVIS_PALETTE[number]
        _outline(picture, mask, _WHITE, width=1)
    for number in object_ids(prediction):
        colour = DAVIS_PALETTE[number].astype(float)
        _outline(picture, prediction == number, tuple(int(c) for c in colour * 255 / colour.max()), width=2)
    _write(picture, f"{job.name} {frame}  {score:.3f}")
    return picture


def _outline(picture: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int], width: int) -> None:
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, contours, -1, colour, width)


def _picture(folder: Path | None, frame: str, size: tuple[int, int]) -> np.ndarray:
    """The picture of a frame at ``size`` (width, height), black where there is none."""
    if folder is not None and folder.is_dir():
        path = next((path for path in pictures_in(folder) if path.stem == frame), None)
        if path is not None:
            return cv2.resize(read_image(path), size, interpolation=cv2.INTER_AREA)
    return np.zeros((size[1], size[0], 3), np.uint8)


def _write(picture: np.ndarray, text: str) -> None:
    for colour, width in ((_BLACK, 4), (_WHITE, 1)):
        cv2.putText(picture, text, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, width, cv2.LINE_AA)
