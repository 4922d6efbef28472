"""Losses on logits over background and objects."""

from .bootstrapped_ce import BootstrappedCE
from .dice import DiceLoss

__all__ = ["BootstrappedCE", "DiceLoss"]
