"""One synthetic video on disk in three layouts at once: DAVIS, YouTube-VOS and YouTube-VIS."""

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ...utils.errors import OutputError
from ...utils.masks import encode_mask
from .options import SyntheticOptions
from .video import SyntheticVideo

YOUTUBE_VOS_STEP = 5  # YouTube-VOS annotates every fifth frame of its 30 fps videos
JPEG_QUALITY = 92


@dataclass(frozen=True)
class VideoTask:
    """What a worker needs to write one video.

    Attributes:
        name: folder name in all layouts.
        split: ``train`` or ``val``.
        seed, num_frames, size, options: of :class:`SyntheticVideo`.
        hidden_in_vis: classes that the YouTube-VIS layout does not annotate.
    """

    name: str
    split: str
    seed: int
    num_frames: int
    size: tuple[int, int]
    options: SyntheticOptions
    hidden_in_vis: tuple[str, ...] = ()


@dataclass
class VideoRecord:
    """What the index files say about one video.

    Attributes:
        task: the video.
        categories: class name by object id.
        davis_ids: ids in the DAVIS masks: the objects of the first frame.
        vos_frames: frame numbers by id in the YouTube-VOS layout.
        tracks: by id one entry per frame, None or what :func:`describe` returns.
    """

    task: VideoTask
    categories: dict[int, str] = field(default_factory=dict)
    davis_ids: tuple[int, ...] = ()
    vos_frames: dict[int, list[int]] = field(default_factory=dict)
    tracks: dict[int, list[dict[str, Any] | None]] = field(default_factory=dict)


def write_video(task: VideoTask, root: str | os.PathLike) -> VideoRecord:
    """Render one video and write its pictures and masks under ``root``; the index files are left to the caller.

    Raises:
        OutputError: a file cannot be written.
    """
    record = VideoRecord(task)
    video = SyntheticVideo(task.seed, task.num_frames, task.size, task.options)
    writer = _VideoWriter(Path(root), record, least=task.options.min_visible * task.size[0] * task.size[1])
    for index, (frame, labels) in enumerate(video.frames()):
        writer.add(index, frame, labels, video.categories)
    record.categories = dict(video.categories)
    record.tracks = {i: track for i, track in record.tracks.items() if record.categories[i] not in task.hidden_in_vis}
    return record


def frame_name(index: int) -> str:
    """Name of a frame without suffix."""
    return f"{index:05d}"


def run_lengths(mask: np.ndarray) -> list[int]:
    """Uncompressed COCO run lengths of a (H, W) bool mask: column-major, beginning with a run of zeros."""
    flat = np.concatenate([[0], mask.astype(np.int8).ravel(order="F"), [0]])
    edges = np.flatnonzero(np.diff(flat))
    if len(edges) and edges[-1] == mask.size:
        edges = edges[:-1]
    return np.diff(np.concatenate([[0], edges, [mask.size]])).tolist()


def describe(mask: np.ndarray) -> dict[str, Any] | None:
    """``counts`` (run lengths), ``bbox`` (x, y, width, height) and ``area`` of a (H, W) bool mask; None if empty."""
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    if not len(columns):
        return None
    box = [columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1]
    return {"counts": run_lengths(mask), "bbox": [float(v) for v in box], "area": int(mask.sum())}


class _VideoWriter:
    """Writes the frames of one video in turn."""

    def __init__(self, root: Path, record: VideoRecord, least: float):
        self._record, self._least = record, least
        name, train = record.task.name, record.task.split == "train"
        davis, vos, vis = root / "davis", root / "youtube_vos", root / "youtube_vis"
        split = "train" if train else "valid"
        self._davis = davis / "JPEGImages/480p" / name
        self._davis_masks = davis / "Annotations/480p" / name
        self._vis = vis / split / "JPEGImages" / name
        self._vos = vos / split / "JPEGImages" / name
        self._vos_masks = vos / split / "Annotations" / name
        self._vos_reference = None if train else vos / "valid_reference/Annotations" / name
        self._all_frames = None if train else vos / "valid_all_frames/JPEGImages" / name
        folders = (self._davis, self._davis_masks, self._vis, self._vos, self._vos_masks,
                   self._vos_reference, self._all_frames)
        for folder in folders:
            if folder is not None:
                _make(folder)

    def add(self, index: int, frame: np.ndarray, labels: np.ndarray, categories: dict[int, str]) -> None:
        """Write frame ``index``; ``categories`` are those of the ids so far."""
        if index == 0:
            self._record.davis_ids = tuple(categories)
        picture = self._davis / f"{frame_name(index)}.jpg"
        _, data = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        _write(picture, data.tobytes())
        _write(self._davis_masks / f"{frame_name(index)}.png", encode_mask(only(labels, self._record.davis_ids)))
        share(picture, self._vis / picture.name)
        if self._all_frames is not None:
            share(picture, self._all_frames / picture.name)
        self._add_tracks(index, labels, categories)
        if index % YOUTUBE_VOS_STEP == 0:
            share(picture, self._vos / picture.name)
            self._add_vos(index, labels, categories)

    def _add_tracks(self, index: int, labels: np.ndarray, categories: dict[int, str]) -> None:
        for i in categories:
            track = self._record.tracks.setdefault(i, [None] * index)
            track.append(describe(labels == i))

    def _add_vos(self, index: int, labels: np.ndarray, categories: dict[int, str]) -> None:
        """Masks of an annotated frame; an object enters in the first of *these* frames that shows its minimum area."""
        frames, areas = self._record.vos_frames, np.bincount(labels.ravel(), minlength=256)
        new = [i for i in categories if i not in frames and areas[i] >= self._least]
        frames.update({i: [] for i in new})
        for i, numbers in frames.items():
            if self._vos_reference is not None or areas[i]:
                numbers.append(index)
        complete = encode_mask(only(labels, frames))
        file = f"{frame_name(index)}.png"
        if self._vos_reference is None:
            _write(self._vos_masks / file, complete)
            return
        _write(self._vos_reference / file, complete)
        if new:
            _write(self._vos_masks / file, encode_mask(only(labels, new)))


def only(labels: np.ndarray, ids) -> np.ndarray:
    """Labels (H, W) uint8 in which every id but ``ids`` is background."""
    table = np.zeros(256, np.uint8)
    table[list(ids)] = list(ids)
    return table[labels]


def share(source: Path, target: Path) -> None:
    """Make ``target`` the same file as ``source``: a hard link where the file system has them, a copy elsewhere."""
    try:
        os.link(source, target)
    except OSError:
        try:
            shutil.copyfile(source, target)
        except OSError as error:
            raise OutputError(f"cannot write {target}: {error.strerror or error}") from error


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror or error}") from error


def _write(path: Path, data: bytes) -> None:
    # Plain writing: everything here lies in a folder that gets its real name only when it is complete.
    try:
        path.write_bytes(data)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
