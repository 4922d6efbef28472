"""The training loop over iterations."""

import contextlib
import random
import time
from collections.abc import Iterator

import numpy as np
import torch
from mmengine.dist import all_reduce
from mmengine.runner import BaseLoop
from torch.utils.data import DataLoader

from ..registry import LOOPS
from ..utils.config_check import declare_keys
from ..utils.errors import KILLED_WORKER, ConfigError, TrainingError, VosplugError, worker_was_killed
from ..utils.interrupts import HeldInterrupts, starting_workers

declare_keys("train_cfg", default_type="ClipTrainLoop")


def seed_iteration(seed: int, stage: int, iteration: int, rank: int) -> None:
    """Seed torch, numpy and Python from the place in the run, so that a resumed run draws the same numbers."""
    state = np.random.SeedSequence((seed, stage, iteration, rank)).generate_state(2, np.uint64)
    torch.manual_seed(int(state[0] >> np.uint64(1)))
    np.random.seed(int(state[1] & np.uint64(0xFFFFFFFF)))  # noqa: NPY002 (for code that uses numpy's global generator)
    random.seed(int(state[1]))


@contextlib.contextmanager
def killed_workers_named(iteration: int) -> Iterator[None]:
    """Turn what torch raises when a data worker was killed into TrainingError."""
    try:
        yield
    except (RuntimeError, ConnectionError, EOFError) as error:  # the latter two: killed while it sent a clip
        if isinstance(error, RuntimeError) and not worker_was_killed(error):
            raise
        raise TrainingError(f"iteration {iteration}: {KILLED_WORKER}") from error


@LOOPS.register_module()
class ClipTrainLoop(BaseLoop):
    """Iterate over clips, and validate from time to time.

    Hooks are called as in mmengine's ``IterBasedTrainLoop``. After an iteration and the validation that may follow it
    comes ``after_step(runner)``, where ``runner.iter`` is the number of finished iterations: whatever is saved there
    belongs to a point at which nothing is left to do. Before a validation, which may fail, and before Ctrl-C or SIGTERM
    end the run comes ``save_point(runner)``: what is not saved there may be lost. While gradients are being accumulated
    validations and interrupts wait for the update, as what lies between two updates cannot be saved.

    Args:
        runner: the runner.
        dataloader: loader with a :class:`vosplug.datasets.ClipBatchSampler`.
        max_iters: number of iterations; with gradient accumulation an update takes several.
        val_interval: iterations between validations; None validates at the end only.
        val_begin: no validation before this many iterations.

    Attributes:
        data_time: seconds that the last iteration waited for its clips.
        validation_pending: a validation is due at this iteration and has not ended yet.
    """

    def __init__(self, runner, dataloader: DataLoader, max_iters: int, val_interval: int | None = None,
                 val_begin: int = 1):
        super().__init__(runner, dataloader)
        if val_interval is not None and (not isinstance(val_interval, int) or val_interval < 1):
            raise ConfigError(f"train_cfg.val_interval must be a whole number of at least 1, got {val_interval!r}")
        self.max_iters = max_iters
        self.max_epochs = 1
        self.epoch = 0
        self.val_interval = val_interval
        self.val_begin = val_begin
        self.stop_training = False
        self.data_time = 0.0
        self.validation_pending = False
        self._iter = 0

    @property
    def iter(self) -> int:
        """Number of finished iterations, so the index of the current one while it runs."""
        return self._iter

    def set_iteration(self, iteration: int, validation_pending: bool = False) -> None:
        """Begin at ``iteration``, with the validation that belongs to it if that is still to be done."""
        self._iter = iteration
        self.validation_pending = validation_pending and self.runner.val_loop is not None

    def run(self) -> torch.nn.Module:
        """Train to the end."""
        self.runner.call_hook("before_train")
        self.runner.call_hook("before_train_epoch")
        self.dataloader.batch_sampler.set_iteration(self._iter)
        with HeldInterrupts() as interrupts, self._clips() as stream:
            if self.validation_pending:  # the run that is resumed ended in it
                self._end_step(interrupts)
            while self._iter < self.max_iters and not self.stop_training:
                with killed_workers_named(self._iter):
                    self._iterate(stream)
                self.validation_pending = self.validation_pending or self._validation_is_due()
                self._end_step(interrupts)
        self.runner.call_hook("after_train_epoch")
        self.runner.call_hook("after_train")
        return self.runner.model

    @contextlib.contextmanager
    def _clips(self) -> Iterator[Iterator[dict] | None]:
        """The batches that are still to come; at the end, an error included, their workers end.

        An error holds the frames of its traceback and what they use. If workers ended with those only, Python would
        wait at its exit for workers that nobody told to end.
        """
        with starting_workers():
            stream = iter(self.dataloader) if self._iter < self.max_iters else None
        try:
            yield stream
        finally:
            if hasattr(stream, "_shutdown_workers"):
                stream._shutdown_workers()

    def _iterate(self, stream) -> None:
        runner = self.runner
        batch = self._next(stream)
        seed_iteration(runner.seed, runner.stage_index, self._iter, runner.rank)
        runner.model.train()
        runner.call_hook("before_train_iter", batch_idx=self._iter, data_batch=batch)
        outputs = runner.model.train_step(batch, optim_wrapper=runner.optim_wrapper)
        runner.call_hook("after_train_iter", batch_idx=self._iter, data_batch=batch, outputs=outputs)
        self._iter += 1

    def _end_step(self, interrupts: HeldInterrupts) -> None:
        """Validate if it is time, and let hooks save; end the run if that was asked for."""
        runner = self.runner
        updated = runner.optim_wrapper.should_update()
        if updated and self._interrupted(interrupts):
            runner.call_hook("save_point")
            interrupts.end()
        if updated and self.validation_pending:
            runner.call_hook("save_point")
            with interrupts.let_through():
                seed_iteration(runner.seed, runner.stage_index, self._iter, runner.rank)
                runner.val_loop.run()
            self.validation_pending = False
        runner.call_hook("after_step")

    def _interrupted(self, interrupts: HeldInterrupts) -> bool:
        """Whether a signal waits in any process; all of them learn it, so that they end after the same iteration."""
        if self.runner.world_size > 1:
            number = torch.tensor(interrupts.number, device=self.runner.device)
            all_reduce(number, op="max")
            interrupts.number = int(number)
        return bool(interrupts.number)

    def _next(self, stream) -> dict:
        start = time.perf_counter()
        batch = next(stream)
        if isinstance(batch, VosplugError):
            raise batch
        self.data_time = time.perf_counter() - start
        return batch

    def _validation_is_due(self) -> bool:
        if self.runner.val_loop is None or self._iter < self.val_begin:
            return False
        at_interval = self.val_interval is not None and self._iter % self.val_interval == 0
        return at_interval or self._iter == self.max_iters
