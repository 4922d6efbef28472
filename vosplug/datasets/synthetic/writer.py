"""Whole synthetic data sets on disk."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from ...utils.errors import InputError, OutputError
from ...utils.files import write_json
from ...utils.workers import hold_interrupts
from .index_files import write_davis_lists, write_vis_annotations, write_vos_metas
from .layouts import VideoRecord, VideoTask, write_video
from .options import SyntheticOptions

MANIFEST = "synthetic.json"
LAYOUTS = ("davis", "youtube_vos", "youtube_vis")
HELD_OUT = 2  # classes that occur in the validation split alone
_STAGING = ".vosplug-synthetic-"
_TAG = 7005


def write_dataset(out: str | os.PathLike, *, videos: int = 12, val: int = 4, size: tuple[int, int] = (240, 432),
                  frames: int = 30, seed: int = 0, workers: int = 1, options: SyntheticOptions | None = None,
                  overwrite: bool = False, progress: Callable[[VideoRecord], None] | None = None) -> list[VideoRecord]:
    """Write the same synthetic videos in the DAVIS, YouTube-VOS and YouTube-VIS layouts under ``out``.

    The bytes of all files depend on the arguments that describe the content alone, not on ``workers``. Each layout is
    built under a temporary name and renamed when it is complete.

    Args:
        out: folder; may exist if it is empty or was written by this function.
        videos: number of videos.
        val: how many of them, the last ones, are for validation.
        size: (H, W).
        frames: frames per video.
        seed: seed of the set.
        workers: processes.
        options: contents and difficulty.
        overwrite: also write into a folder with other things in it; only the layouts are replaced.
        progress: called with each finished video, in order.

    Returns:
        One record per video.

    Raises:
        InputError: an argument is out of range.
        OutputError: ``out`` holds something else, or cannot be written.
    """
    options = options or SyntheticOptions()
    tasks = plan(videos, val, size, frames, seed, options)
    out = Path(out)
    check_target(out, overwrite)
    with _staging(out) as root:
        for layout in LAYOUTS:
            (root / layout).mkdir()
        records = _write_all(tasks, root, workers, progress)
        _make_empty_folders(root)
        write_davis_lists(root / "davis", records)
        write_vos_metas(root / "youtube_vos", records)
        write_vis_annotations(root / "youtube_vis", records)
        manifest = {"generator": "vosplug synthetic", "videos": videos, "val": val, "size": list(size),
                    "frames": frames, "seed": seed, "options": asdict(options)}
        _publish(root, out, manifest)
    return records


def plan(videos: int, val: int, size: tuple[int, int], frames: int, seed: int,
         options: SyntheticOptions) -> list[VideoTask]:
    """The videos of a set. The last two classes occur in validation alone, as objects after a video's first.

    Every second validation video has them, so that each also has an object of a class that training shows.
    """
    if videos < 1 or not 0 <= val <= videos or frames < 1 or seed < 0:
        raise InputError(f"a synthetic set needs videos >= 1, 0 <= val <= videos, frames >= 1 and seed >= 0, got "
                         f"{videos}, {val}, {frames} and {seed}")
    held_out = options.classes[-HELD_OUT:] if len(options.classes) >= 2 * HELD_OUT else ()
    seen = tuple(name for name in options.classes if name not in held_out)
    most = max(2, options.objects[1])
    train = options.but(classes=seen, later_classes=None)
    unseen = train.but(later_classes=held_out or None, objects=(min(max(2, options.objects[0]), most), most))
    digits = max(4, len(str(videos - 1)))
    tasks = []
    for number in range(videos):
        place = number - (videos - val)
        chosen = unseen if place >= 0 and place % 2 == 0 else train
        video_seed = int(np.random.SeedSequence((_TAG, seed, number)).generate_state(1, np.uint64)[0] >> 1)
        tasks.append(VideoTask(f"synthetic-{number:0{digits}d}", "val" if place >= 0 else "train", video_seed, frames,
                               (int(size[0]), int(size[1])), chosen, held_out))
    return tasks


def _write_all(tasks: Sequence[VideoTask], root: Path, workers: int,
               progress: Callable[[VideoRecord], None] | None) -> list[VideoRecord]:
    records = []
    with _mapper(min(workers, len(tasks))) as apply:
        for record in apply(partial(write_video, root=root), tasks):
            records.append(record)
            if progress is not None:
                progress(record)
    return records


@contextmanager
def _mapper(workers: int) -> Iterator[Callable]:
    if workers <= 1:
        yield map
        return
    # Fresh processes: a forked one may hang in OpenCV's thread pool.
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread)
    try:
        def apply(function: Callable, tasks: Sequence) -> Iterator:
            with hold_interrupts():  # all processes are started here
                return pool.map(function, tasks)

        yield apply
    finally:
        pool.shutdown(cancel_futures=True)


def _one_thread() -> None:
    import cv2

    cv2.setNumThreads(1)


def _make_empty_folders(root: Path) -> None:
    """A split without videos still has its folders."""
    for folder in ("davis/JPEGImages/480p", "davis/Annotations/480p", "youtube_vos/train/JPEGImages",
                   "youtube_vos/train/Annotations", "youtube_vos/valid/JPEGImages", "youtube_vos/valid/Annotations",
                   "youtube_vos/valid_all_frames/JPEGImages", "youtube_vos/valid_reference/Annotations",
                   "youtube_vis/train/JPEGImages", "youtube_vis/valid/JPEGImages"):
        (root / folder).mkdir(parents=True, exist_ok=True)


def check_target(out: Path, overwrite: bool) -> None:
    """Raise :class:`OutputError` if ``out`` is a file, or a folder that holds things of others."""
    if not out.exists():
        return
    if not out.is_dir():
        raise OutputError(f"{out} is a file; give the name of a folder")
    strangers = [entry.name for entry in out.iterdir() if not entry.name.startswith(_STAGING)]
    if strangers and not (out / MANIFEST).is_file() and not overwrite:
        raise OutputError(f"{out} is not empty and was not written by this command (it holds "
                          f"{sorted(strangers)[0]!r}): choose another folder, or replace {', '.join(LAYOUTS)} in it "
                          "with --overwrite")


@contextmanager
def _staging(out: Path) -> Iterator[Path]:
    """A temporary folder within ``out``, removed in any case; so are those of runs that were killed."""
    made = not out.exists()
    folder = None
    try:
        try:
            out.mkdir(parents=True, exist_ok=True)
            for left in out.glob(f"{_STAGING}*"):
                shutil.rmtree(left, ignore_errors=True)
            folder = Path(tempfile.mkdtemp(prefix=_STAGING, dir=out))
        except OSError as error:
            raise OutputError(f"cannot write into {out}: {error.strerror or error}") from error
        yield folder
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        if made and out.is_dir() and not any(out.iterdir()):
            out.rmdir()


def _publish(root: Path, out: Path, manifest: dict) -> None:
    """Give the layouts their names. The manifest goes first and comes last: without it nothing counts as complete."""
    try:
        (out / MANIFEST).unlink(missing_ok=True)
        for layout in LAYOUTS:
            if (out / layout).exists():
                (out / layout).rename(root / f"old-{layout}")
            (root / layout).rename(out / layout)
    except OSError as error:
        raise OutputError(f"cannot replace the layouts in {out}: {error.strerror or error}") from error
    write_json(out / MANIFEST, manifest)
