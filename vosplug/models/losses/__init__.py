"""Losses: of semi-supervised methods they read the record of a clip."""

from .base import ClipLoss, NoteLoss, PixelLoss, WorkLoss
from .bootstrapped_ce import BootstrappedCE
from .dice import DiceLoss
from .sparsity import ComputationLoss, SparsityLoss

__all__ = ["BootstrappedCE", "ClipLoss", "ComputationLoss", "DiceLoss", "NoteLoss", "PixelLoss", "SparsityLoss", "WorkLoss"]
