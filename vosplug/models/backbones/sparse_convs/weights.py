"""Starting a sparse model from the weights of its dense twin."""

import os
from collections.abc import Mapping
from typing import Any

from torch import nn

from ....utils.checkpoint import load_checkpoint_file, load_weights, model_state
from .base import SparseConv


def gate_names(model: nn.Module) -> set[str]:
    """Names of all parameters that belong to gates of sparse convolutions."""
    return {f"{name}.gate.{part}" for name, module in model.named_modules() if isinstance(module, SparseConv)
            for part, _ in module.gate.named_parameters()}


def load_dense_weights(model: nn.Module, source: str | os.PathLike | Mapping[str, Any]) -> None:
    """Copy the weights of the dense twin into ``model``; gates keep what they have. All else has to fit exactly.

    Args:
        model: with sparse convolutions.
        source: path of a checkpoint, or what was read from one.

    Raises:
        CheckpointError: anything but gates is missing, unexpected or of another shape.
    """
    checkpoint = load_checkpoint_file(source) if isinstance(source, (str, os.PathLike)) else source
    own = model.state_dict()
    gates = {name: own[name] for name in gate_names(model)}
    load_weights(model, {**gates, **model_state(checkpoint)})
