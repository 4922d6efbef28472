"""Running all stages of a config."""

import errno
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import barrier, is_main_process

from ..utils.checkpoint import load_checkpoint_file, save_checkpoint_file
from ..utils.errors import CheckpointError, ConfigError, OutputError
from ..utils.files import write_text, write_via
from .hooks.checkpoint_hook import BEST, LAST, checkpoints_in, newest_checkpoint
from .processes import pick_device
from .runner import VOSRunner
from .stages import Stage, split_stages

FINAL = "final.pth"
CONFIG = "config.py"


@dataclass(frozen=True)
class StageResult:
    """What a stage ended with: its name, length, best score (``dict(score, metric, iter)`` or None) and seconds."""

    name: str
    iterations: int
    best: dict | None
    seconds: float


def run_training(cfg: Config, *, resume: bool = False, overwrite: bool = False,
                 device: torch.device | None = None) -> list[StageResult]:
    """Train all stages of ``cfg`` into ``cfg.work_dir``; the weights to use are in ``final.pth`` there at the end.

    Args:
        cfg: a loaded config with ``work_dir``.
        resume: go on where an earlier run into this folder stopped, in whichever stage; begins anew if there is none.
        overwrite: remove the checkpoints of an earlier run first.
        device: device of this process; by default its GPU, or the CPU.

    Raises:
        ConfigError: the config is wrong, or the folder holds a run and neither ``resume`` nor ``overwrite`` is given.
        CheckpointError, DataError, OutputError, TrainingError: as they say.
    """
    device = device or pick_device()
    stages = split_stages(cfg)
    root = Path(cfg.work_dir)
    if is_main_process():
        prepare_work_dir(root, stages, resume=resume, overwrite=overwrite)
    barrier()
    results = []
    with disk_errors(root), written_config(root / CONFIG, cfg.pretty_text):
        for stage in stages:
            results.append(run_stage(stage, stages, resume=resume, device=device))
            barrier()
        if is_main_process():
            publish(root, stages[-1])
    barrier()
    return results


@contextmanager
def disk_errors(root: Path) -> Iterator[None]:
    """Turn a disk that is full or gone, which logs may meet before checkpoints do, into one line."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO):
            raise OutputError(f"cannot write to {root}: {error.strerror}; checkpoints written so far are intact, "
                              "make room and go on with --resume") from error
        raise


@contextmanager
def written_config(path: Path, text: str) -> Iterator[None]:
    """Write the config of a run; if its checkpoint turns out not to fit, the config that did comes back."""
    if not is_main_process():
        yield
        return
    earlier = path.read_text(encoding="utf-8") if path.is_file() else None
    write_text(path, text)
    try:
        yield
    except CheckpointError:
        if earlier is not None:
            write_text(path, earlier)
        raise


def prepare_work_dir(root: Path, stages: list[Stage], *, resume: bool, overwrite: bool) -> None:
    """Make the folder, and see to what an earlier run left in it."""
    try:
        for folder in (root, *(stage.folder for stage in stages)):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the work dir {root}: {error.strerror}; choose another --work-dir") from error
    folders = [root, *(path for path in root.glob("[0-9]*_*") if path.is_dir())]
    found = [path for folder in folders for path in checkpoints_in(folder)]
    if found and not (resume or overwrite):
        raise ConfigError(f"{root} already holds a training run ({found[0].relative_to(root)}): go on with --resume, "
                          "start anew with --overwrite (removes its checkpoints), or choose another --work-dir")
    for folder in folders:
        for left_over in folder.glob(".*.pth.*.tmp"):  # of a process that was killed while it saved
            left_over.unlink(missing_ok=True)
        if overwrite and not resume:
            for path in (*checkpoints_in(folder), folder / BEST, folder / FINAL, folder / LAST):
                path.unlink(missing_ok=True)


def run_stage(stage: Stage, stages: list[Stage], *, resume: bool, device: torch.device) -> StageResult:
    """Train one stage, unless it is complete already."""
    start = time.perf_counter()
    found = newest_checkpoint(stage.folder) if resume else None
    if resume and is_main_process():
        announce(stage, found)
    if found is not None:
        path, checkpoint = found
        meta = checkpoint.get("meta")
        if not isinstance(meta, Mapping) or meta.get("stage_name") != stage.name:
            raise CheckpointError(f"{path} is not of the stage {stage.name!r} of this config; choose another "
                                  "--work-dir")
        validation_left = meta.get("validation_pending") and stage.cfg.get("val_dataset")
        if meta["iter"] >= stage.max_iters and not validation_left:
            if is_main_process():
                print(f"{stage.name}: complete ({meta['iter']} iterations)", flush=True)
            return StageResult(stage.name, meta["iter"], meta.get("best"), 0.0)
        del checkpoint
    runner = VOSRunner(stage, device=device, resume_from=found[0] if found else None,
                       init_from=initial_weights(stage, stages))
    runner.train()
    return StageResult(stage.name, runner.iter, runner.best, time.perf_counter() - start)


def announce(stage: Stage, found: tuple[Path, dict] | None) -> None:
    """Say what a resumed stage does if that is not what one expects."""
    if found is None and stage.index == 0:
        print(f"{stage.name}: {stage.folder} has no checkpoint to resume from, training starts anew", flush=True)
    elif found is not None and found[0] != checkpoints_in(stage.folder)[0]:
        newest = checkpoints_in(stage.folder)[0].name
        print(f"{stage.name}: {newest} cannot be read, going on from {found[0].name}", flush=True)


def initial_weights(stage: Stage, stages: list[Stage]) -> Path | None:
    """Checkpoint that a stage begins with."""
    if stage.init != "previous":
        return Path(stage.init) if stage.init else None
    before = stages[stage.index - 1]
    found = newest_checkpoint(before.folder)
    if found is None:
        raise CheckpointError(f"stage {stage.name} begins with the weights of {before.name}, but {before.folder} has "
                              "no checkpoint")
    return found[0]


def publish(root: Path, last: Stage) -> None:
    """Put the final weights, and the best ones if there was a validation, into the work dir itself."""
    found = newest_checkpoint(last.folder)
    if found is None:
        raise CheckpointError(f"training has left no checkpoint in {last.folder}")
    save_checkpoint_file({key: found[1][key] for key in ("state_dict", "meta")}, root / FINAL)
    best = last.folder / BEST
    if last.folder != root and best.is_file():
        write_via(root / BEST, lambda name: bool(shutil.copyfile(best, name)))
    load_checkpoint_file(root / FINAL)
