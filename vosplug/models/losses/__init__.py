"""Losses: of semi-supervised methods they read the record of a clip."""

from .base import ClipLoss, NoteLoss, PixelLoss, WorkLoss
from .bootstrapped_ce import BootstrappedCE
from .dice import DiceLoss
from .sparsity import ComputationLoss, SparsityLoss
from .tracklet_loss import TrackletLoss

__all__ = ["BootstrappedCE", "ClipLoss", "ComputationLoss", "DiceLoss", "NoteLoss", "PixelLoss", "SparsityLoss",
           "TrackletLoss", "WorkLoss"]
