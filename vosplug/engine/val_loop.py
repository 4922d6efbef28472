"""Validation by segmenting whole videos."""

import sys
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.dist import broadcast, get_world_size
from mmengine.runner import BaseLoop

from ..registry import DATASETS, LOOPS, METRICS
from ..utils.checkpoint import unwrapped
from ..utils.config_check import declare_keys
from ..utils.errors import ConfigError

declare_keys("val_cfg", default_type="VideoValLoop")


@LOOPS.register_module()
class VideoValLoop(BaseLoop):
    """Segment the videos of a data set as inference does, and score them; videos are split over the processes.

    Args:
        runner: the runner.
        dataset: config of a data set of videos.
        evaluator: config of a metric, built anew for each validation; by default that of the data set.
        session_options: options of :class:`vosplug.inference.VOSSession`; by default ``test_session`` of the config.

    Attributes:
        metrics: numbers of the last validation, or None if the data set has no references.
    """

    def __init__(self, runner, dataset: Mapping[str, Any], evaluator: Mapping[str, Any] | None = None,
                 session_options: Mapping[str, Any] | None = None):
        super().__init__(runner, None)
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, Mapping) else dataset
        self.evaluator = evaluator or {"type": self.dataset.metric}
        if self.evaluator.get("type") is None:
            raise ConfigError(f"{type(self.dataset).__name__} names no metric: give val_evaluator")
        given = runner.cfg.get("test_session") if session_options is None else session_options
        self.session_options = dict(given or {})
        self.metrics: dict[str, float] | None = None
        self._prepare()

    def _prepare(self) -> None:
        """Let faults show now, not after the first thousand iterations: of the config, and of what cannot be scored."""
        from ..evaluation.families import family_of

        metric = METRICS.build(self.evaluator)
        model = unwrapped(self.runner.model)
        family_of(model).evaluator(model).prepare(self.dataset, self.dataset.videos(), metric)

    def run(self) -> dict[str, float] | None:
        """Validate; return the numbers, which hooks get as well."""
        from ..evaluation.families import evaluate_videos  # here, as inference is not needed for training alone

        runner = self.runner
        runner.call_hook("before_val")
        runner.call_hook("before_val_epoch")
        model = unwrapped(runner.model)
        share_buffers(model)
        self.metrics = evaluate_videos(model, self.dataset, METRICS.build(self.evaluator),
                                       session_options=self.session_options, progress=sys.stdout.isatty())
        runner.call_hook("after_val_epoch", metrics=self.metrics or {})
        runner.call_hook("after_val")
        return self.metrics


def share_buffers(model: torch.nn.Module) -> None:
    """Give every process the buffers (statistics of batch norms) of the first one, which are those that are saved."""
    if get_world_size() > 1:
        for buffer in model.buffers():
            broadcast(buffer)
