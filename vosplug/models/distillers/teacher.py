"""A trained segmentor that shows a student how it is done."""

import os
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ...registry import SEGMENTORS
from ...structures import Prompt, StepOutput, VideoState
from ...utils.checkpoint import load_weights
from ...utils.config_check import declare_keys
from ...utils.configs import load_config
from ...utils.errors import ConfigError, VosplugError, did_you_mean
from ..layers.aggregate import winners
from .grids import Grid

RANDOM = "random"
KEYS = ("config", "weights", "cfg_options")
declare_keys("task.teacher", KEYS)
declare_keys("task.teacher.cfg_options", ("**",))


class Teacher:
    """A frozen segmentor. It is no module: what contains it neither trains, nor moves, nor saves it.

    It stays in evaluation mode and its weights want no gradients. Of training it has the memory schedule alone: which
    frames are kept, as in the clips that the student sees.

    Args:
        config: name or path of a config, or a dict with ``model``.
        weights: checkpoint, which has to fit exactly; ``"random"`` leaves the weights as they were drawn (to measure
            cost).
        cfg_options: changes of the config, by dotted key.

    Raises:
        ConfigError: there is no such config, or its model is no semi-supervised segmentor.
        CheckpointError: the weights are missing or do not fit.
    """

    def __init__(self, config: str | os.PathLike | Mapping[str, Any], weights: str | os.PathLike,
                 cfg_options: Mapping[str, Any] | None = None):
        if not isinstance(config, Mapping):
            config = load_config(config, cfg_options=dict(cfg_options or {}))
        elif cfg_options:
            raise ConfigError("task.teacher: cfg_options need the name or path of a config, not a dict")
        if "model" not in config:
            raise ConfigError("task.teacher.config has no 'model': it describes data or a schedule only")
        self.model: nn.Module = SEGMENTORS.build(config["model"])
        if str(weights) != RANDOM:
            load_weights(self.model, weights)
        self.model.requires_grad_(False)
        self.model.eval()
        self.grid: Grid | None = None

    @classmethod
    def build(cls, settings: Any) -> "Teacher":
        """A teacher of ``task.teacher`` of a config; every fault names it."""
        if not isinstance(settings, Mapping) or "config" not in settings:
            raise ConfigError("Distillation needs teacher=dict(config=..., weights=...), the config and the checkpoint "
                              f"of a trained model, got {settings!r}")
        for key in settings:
            if key not in KEYS:
                raise ConfigError(f"task.teacher has no option {key!r}.{did_you_mean(key, KEYS)} "
                                  f"Its options: {', '.join(KEYS)}.")
        if not settings.get("weights"):
            raise ConfigError("Distillation needs the weights of its teacher: train it first, then set "
                              "task.teacher.weights to the path of its final.pth")
        try:
            return cls(**settings)
        except VosplugError as error:
            raise type(error)(f"task.teacher: {error}") from error

    def like(self, model: nn.Module) -> "Teacher":
        """Move to the device of ``model``, and lie in memory as it does."""
        self.model.to(model.device)
        kernels = [p for p in model.parameters() if p.ndim == 4 and p.shape[1] > 1 and p.shape[-1] > 1]
        if kernels and all(p.is_contiguous(memory_format=torch.channels_last) for p in kernels):
            self.model.to(memory_format=torch.channels_last)
        return self

    def frames(self, clip: Tensor, student: nn.Module) -> Tensor:
        """What the teacher sees of a clip (B, T, 3, H, W) as ``student`` sees it: (B, T, 3, H', W')."""
        ours, theirs = self.model.data_preprocessor, student.data_preprocessor
        geometry = ours.geometry(tuple(clip.shape[-2:]))
        self.grid = Grid(geometry, ours.align_corners)
        alike = (ours.mean, ours.std) == (theirs.mean, theirs.std)
        if alike and geometry.network == tuple(clip.shape[-2:]) == geometry.size:
            return clip
        images, _ = ours.frames(theirs.denormalize(clip.flatten(0, 1)), geometry)
        return images.unflatten(0, clip.shape[:2])

    def prompt(self, prompt: Prompt) -> Prompt:
        """The prompt of the student at the size of the teacher's frames."""
        masks = self.model.data_preprocessor.masks(prompt.masks, self.grid.geometry)
        return Prompt(prompt.ids, masks, prompt.valid, native=prompt.masks)

    def new_state(self, batch_size: int) -> VideoState:
        """A state that is not in training, but whose memory is filled as in training."""
        return VideoState(batch_size=batch_size, memory=self.model.new_memory(training=True))

    @torch.no_grad()
    def step(self, state: VideoState, frame: Tensor, prompt: Prompt | None, *, last: bool,
             features: Collection[str] | None) -> StepOutput:
        """One frame (B, 3, H', W'); see :meth:`~..segmentors.base.VOSSegmentor.step`."""
        return self.model.step(state, frame, prompt, geometry=self.grid.geometry, last=last, features=features)

    @torch.no_grad()
    def labels(self, logits: Tensor) -> Tensor:
        """Hard labels (B, H, W) by channel at the size of the student's frames, of its own logits."""
        return winners(self.model.data_preprocessor.restore(logits, self.grid.geometry)).long()
