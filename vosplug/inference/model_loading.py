"""From a config and a checkpoint to a model that is ready for sessions."""

import os
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from torch import nn

from ..models.backbones.pretrained import weights_follow
from ..registry import SEGMENTORS, VIS_SEGMENTORS
from ..utils.checkpoint import classes_of, load_weights
from ..utils.config_check import find_type
from ..utils.errors import ConfigError
from .session import prepare_model

SESSION_KEY = "test_session"


def build_segmentor(config: str | os.PathLike | Mapping[str, Any], checkpoint: str | os.PathLike | None = None, *,
                    device: str | torch.device | None = None, seed: int | None = None,
                    pretrained: bool = True) -> nn.Module:
    """Build the model of a config and load its weights.

    Args:
        config: path or name of a config, a loaded one, or a dict with ``model``.
        checkpoint: weights, which have to fit exactly; None leaves what the constructors chose.
        pretrained: without a checkpoint, backbones load the weights that the config says they start from.
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
    members = VIS_SEGMENTORS.members().values()
    kind = VIS_SEGMENTORS if model_type(config) in members else SEGMENTORS
    with nullcontext() if pretrained and checkpoint is None else weights_follow():
        model = kind.build(ConfigDict(settings) if isinstance(settings, Mapping) else settings)
    if checkpoint is not None:
        names = classes_of(load_weights(model, checkpoint))
        if names is not None and hasattr(model, "class_names"):
            model.class_names = names
    return prepare_model(model, device, channels_last=False)


def model_type(config: Mapping[str, Any]) -> Any:
    """The class of the model of a config; None if there is none of that name."""
    model = config.get("model")
    name = model.get("type") if isinstance(model, Mapping) else None
    return find_type(name) if isinstance(name, str) else name


def method_of(config: Mapping[str, Any]) -> str:
    """What the method of a config is called, for messages."""
    model = config.get("model")
    name = model.get("type") if isinstance(model, Mapping) else None
    return "this method" if name is None else getattr(name, "__name__", str(name))


def family_name(model: Any) -> str:
    """The family that a model, or the class of one, says it belongs to; ``vos`` where it does not."""
    return getattr(model, "family", "vos")


def as_config(config: str | os.PathLike | Mapping[str, Any]) -> Mapping[str, Any]:
    """A loaded config as it is; a path or name through :func:`vosplug.utils.configs.load_config`."""
    if isinstance(config, (Config, Mapping)):
        return config
    from ..utils.configs import load_config

    return load_config(config)


def session_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """Options of :class:`VOSSession` that a config states under ``test_session``."""
    return dict(config.get(SESSION_KEY) or {})
