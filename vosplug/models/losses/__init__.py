"""Losses on logits over background and objects, and on what sparse convolutions compute."""

from .bootstrapped_ce import BootstrappedCE
from .dice import DiceLoss
from .sparsity import ComputationLoss, SparsityLoss

__all__ = ["BootstrappedCE", "ComputationLoss", "DiceLoss", "SparsityLoss"]
