"""Keeps checkpoints to resume from, and the best weights."""

import math
import re
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from ...registry import HOOKS
from ...utils.checkpoint import load_checkpoint_file, save_checkpoint_file
from ...utils.errors import CheckpointError, ConfigError
from ...utils.files import write_text

MONITORED = ("J&F-Mean", "G", "AP")
BEST = "best.pth"
LAST = "last_checkpoint"
PATTERN = re.compile(r"iter_(\d+)\.pth")


@HOOKS.register_module()
class CheckpointHook(Hook):
    """Save ``iter_N.pth`` at intervals and at the end, and ``best.pth`` at the best validation.

    A checkpoint is written before each validation, which may fail or be interrupted, and again after it, when the score
    is known; a run that is resumed from the former begins with the validation. One is also written when Ctrl-C or
    SIGTERM end the run. While gradients are being accumulated saving waits for the update. The file ``last_checkpoint``
    holds the name of the newest one.

    Args:
        interval: iterations between checkpoints; None for a tenth of the run, at most 1000.
        keep: number of ``iter_N.pth`` to keep, newest first; None keeps all.
        monitor: key of the validation numbers that decides what is best (larger is better); by default the first of
            ``J&F-Mean``, ``G``, ``AP`` that there is.

    Raises:
        ConfigError: an option is out of range, or validation does not give ``monitor``.
        OutputError: a file cannot be written; earlier checkpoints are kept.
    """

    priority = "VERY_LOW"

    def __init__(self, interval: int | None = None, keep: int | None = 2, monitor: str | None = None):
        for name, value in (("interval", interval), ("keep", keep)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ConfigError(f"CheckpointHook: {name} must be a whole number of at least 1, got {value!r}")
        self.interval = interval
        self.keep = keep
        self.monitor = monitor
        self.due = False
        self.saved: int | None = None

    def before_train(self, runner) -> None:
        self.every = self.interval or max(1, min(1000, runner.max_iters // 10))
        self.due = False
        self.saved = None

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        if not metrics:
            return
        key = self.monitor or next((name for name in MONITORED if name in metrics), None)
        if key not in metrics:
            raise ConfigError(f"CheckpointHook: validation gives {', '.join(metrics)}, none of which is "
                              f"{self.monitor or ' / '.join(MONITORED)}; set default_hooks.checkpoint.monitor")
        score = float(metrics[key])
        if math.isfinite(score) and (runner.best is None or score > runner.best["score"]):
            runner.best = dict(score=score, metric=key, iter=runner.iter)
            if is_main_process():
                save_checkpoint_file(runner.weights_checkpoint(), Path(runner.work_dir) / BEST)

    def after_step(self, runner) -> None:
        """Save if it is time, and what was saved before a validation once more."""
        at_interval = runner.iter % self.every == 0 or runner.iter == runner.max_iters
        self.due = self.due or at_interval or self.saved == runner.iter
        if self.due and runner.optim_wrapper.should_update():
            self.due = False
            self._save(runner)

    def save_point(self, runner) -> None:
        """Save now, unless this iteration is saved already: what comes next may not come back."""
        if self.saved != runner.iter:
            self._save(runner)

    def _save(self, runner) -> None:
        self.saved = runner.iter
        if not is_main_process():
            return
        folder, name = Path(runner.work_dir), f"iter_{runner.iter}.pth"
        runner.save_checkpoint(str(folder), name)
        write_text(folder / LAST, name + "\n")
        if self.keep is not None:
            for old in checkpoints_in(folder)[self.keep:]:
                old.unlink(missing_ok=True)


def checkpoints_in(folder: Path) -> list[Path]:
    """All ``iter_N.pth`` of a folder, newest first."""
    found = [(int(match[1]), path) for path in folder.glob("iter_*.pth") if (match := PATTERN.fullmatch(path.name))]
    return [path for _, path in sorted(found, reverse=True)]


def newest_checkpoint(folder: Path) -> tuple[Path, dict] | None:
    """The newest checkpoint that can be read and its content, or None if there is none.

    Raises:
        CheckpointError: there are checkpoints, and none can be read.
    """
    problems = []
    for path in checkpoints_in(folder):
        checkpoint = _read(path, problems)
        if checkpoint is not None:
            return path, checkpoint
    if problems:
        raise problems[0]
    return None


def _read(path: Path, problems: list[CheckpointError]) -> dict | None:
    try:
        return load_checkpoint_file(path)
    except CheckpointError as error:
        problems.append(error)
        return None
