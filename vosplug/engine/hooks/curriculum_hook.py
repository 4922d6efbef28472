"""Changes clip length, frame distance and batch size during training."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from mmengine.hooks import Hook

from ...registry import HOOKS
from ...utils.config_check import declare_keys
from ...utils.errors import ConfigError

declare_keys("curriculum.*", ("begin", "max_skip", "length", "batch_size", "weights"))


@HOOKS.register_module()
class ClipCurriculumHook(Hook):
    """Install the phases of the config's ``curriculum`` into the batch sampler.

    A phase is a dict with ``begin`` (a float in [0, 1] is a fraction of the run, an int an iteration) and any of
    ``max_skip``, ``length``, ``batch_size``, ``weights``. Batches that data workers prepare ahead have the settings of
    the iteration they are for, and so has a resumed run.

    Args:
        phases: the phases; by default those of the config.
    """

    priority = "HIGH"

    def __init__(self, phases: Sequence[Mapping[str, Any]] | None = None):
        self.phases = phases
        self.current: Any = None

    def before_train(self, runner) -> None:
        phases = runner.cfg.get("curriculum") if self.phases is None else self.phases
        if isinstance(phases, Mapping):
            raise ConfigError("curriculum must be a list of phases, for example [dict(begin=0.5, length=5)]")
        sampler = runner.train_loop.dataloader.batch_sampler
        sampler.set_curriculum(list(phases or ()), runner.max_iters)
        self.current = None

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        phase = runner.train_loop.dataloader.batch_sampler.curriculum_at(batch_idx)
        if phase != self.current:
            self.current = phase
            settings = ", ".join(f"{key} {value}" for key, value in asdict(phase).items()
                                 if key != "begin" and value is not None)
            runner.logger.info(f"iteration {batch_idx}: clips have {settings}")
