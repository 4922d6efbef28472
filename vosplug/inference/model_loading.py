"""From a config and a checkpoint to a model that is ready for sessions."""

import inspect
import os
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from torch import nn

from ..registry import MODELS, SEGMENTORS, VIS_SEGMENTORS
from ..utils.checkpoint import load_weights
from ..utils.errors import ConfigError
from .session import prepare_model

SESSION_KEY = "test_session"


def build_segmentor(config: str | os.PathLike | Mapping[str, Any], checkpoint: str | os.PathLike | None = None, *,
                    device: str | torch.device | None = None, seed: int | None = None) -> nn.Module:
    """Build the model of a config and load its weights.

    Args:
        config: path or name of a config, a loaded one, or a dict with ``model``.
        checkpoint: weights, which have to fit exactly; None leaves what the constructors chose.
        device: where to put the model.
        seed: of the random weights.

    Raises:
        ConfigError: the config has no model, or a part of it is wrong.
        CheckpointError: the weights cannot be read or do not fit.
    """
    config = as_config(config)
    if "model" not in config:
        raise ConfigError("the config has no 'model': it describes data or a schedule only")
    if seed is not None:
        torch.manual_seed(seed)
    settings = config["model"]
    kind = VIS_SEGMENTORS if is_vis(config) else SEGMENTORS
    model = kind.build(ConfigDict(settings) if isinstance(settings, Mapping) else settings)
    if checkpoint is not None:
        load_weights(model, checkpoint)
    return prepare_model(model, device, channels_last=False)


def is_vis(config: Mapping[str, Any]) -> bool:
    """Whether the model of a config segments instances of videos (clip by clip, without prompts)."""
    model = config.get("model")
    name = model.get("type") if isinstance(model, Mapping) else None
    cls = MODELS.get(name) if isinstance(name, str) else name
    return cls in VIS_SEGMENTORS.members().values()


def clip_length(config: Mapping[str, Any]) -> int:
    """Frames per clip that a clip-level method of a config takes: of ``test_session``, or of the model."""
    model = config["model"]
    stated = session_defaults(config).get("clip_length") or model.get("clip_length")
    cls = MODELS.get(model["type"]) if isinstance(model["type"], str) else model["type"]
    return stated or inspect.signature(cls).parameters["clip_length"].default


def as_config(config: str | os.PathLike | Mapping[str, Any]) -> Mapping[str, Any]:
    """A loaded config as it is; a path or name through :func:`vosplug.utils.configs.load_config`."""
    if isinstance(config, (Config, Mapping)):
        return config
    from ..utils.configs import load_config

    return load_config(config)


def session_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """Options of :class:`VOSSession` that a config states under ``test_session``."""
    return dict(config.get(SESSION_KEY) or {})
