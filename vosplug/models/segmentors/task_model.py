"""What all segmentors share: a preprocessor, and a task by which they are trained."""

from typing import Any, ClassVar

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from ...registry import PREPROCESSORS
from ...utils.errors import ConfigError


class TaskModel(BaseModel):
    """A model whose training is a task around it.

    Args:
        preprocessor: config of a preprocessor (kind ``preprocessor``).
        task: how it is trained (kind ``task``) unless training sets another, see :meth:`use_task`.
        init_cfg: as in mmengine.

    Attributes:
        family: what commands treat alike: ``vos`` follows given objects frame by frame, ``vis`` finds instances clip by
            clip.

    Raises:
        ConfigError: the preprocessor is for models of another family.
    """

    family: ClassVar[str] = "vos"

    def __init__(self, preprocessor: dict, task: Any, init_cfg: dict | None = None):
        super().__init__(data_preprocessor=PREPROCESSORS.build(preprocessor), init_cfg=init_cfg)
        made_for = getattr(self.data_preprocessor, "family", self.family)
        if made_for != self.family:
            raise ConfigError(f"{type(self).__name__} is a {self.family.upper()} method, but "
                              f"{type(self.data_preprocessor).__name__} is for {made_for.upper()} methods: give it "
                              f"another preprocessor, such as {self.family.upper()}Preprocessor")
        self.use_task(task)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.parameters()).device

    def use_task(self, task: Any) -> None:
        """Train by ``task`` from now on. It is no part of the model: what it brings is neither saved nor moved."""
        self.__dict__["task"] = task

    def loss(self, inputs: Tensor, data_samples: list) -> dict[str, Tensor]:
        """Losses of a preprocessed batch, and numbers for the log, by the task of the model."""
        return self.task.loss(self, inputs, data_samples)


def task_parts(task: Any) -> nn.ModuleList:
    """What a task trains beside the model: its ``trained``, if it has any. It is resumed, but never published."""
    return getattr(task, "trained", None) or nn.ModuleList()
