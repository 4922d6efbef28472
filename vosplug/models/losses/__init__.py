"""Losses: of semi-supervised methods they read the record of a clip."""

from .base import ClipLoss, NoteLoss, PixelLoss, WorkLoss
from .bootstrapped_ce import BootstrappedCE
from .dice import DiceLoss
from .object_bce import ObjectBCE
from .reuse import DeltaLoss, GateProbabilityLoss, GateRateLoss
from .sparsity import ComputationLoss, SparsityLoss
from .tracklet_loss import TrackletLoss

__all__ = ["BootstrappedCE", "ClipLoss", "ComputationLoss", "DeltaLoss", "DiceLoss", "GateProbabilityLoss",
           "GateRateLoss", "NoteLoss", "ObjectBCE", "PixelLoss", "SparsityLoss", "TrackletLoss", "WorkLoss"]
