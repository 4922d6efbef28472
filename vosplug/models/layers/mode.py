"""Whether a module trains."""

from torch import nn


def training_of(module: nn.Module) -> bool:
    """Whether ``module`` runs for training: the one place where parts ask."""
    return module.training
