"""Losses: of semi-supervised methods they read the record of a clip."""

from .base import ClipLoss, NoteLoss, PixelLoss, WorkLoss
from .bootstrapped_bce import BootstrappedBCE
from .bootstrapped_ce import BootstrappedCE
from .dice import DiceLoss
from .object_bce import ObjectBCE
from .reference import ReferenceLoss
from .reuse import DeltaLoss, GateProbabilityLoss, GateRateLoss
from .soft_jaccard import SoftJaccardLoss
from .sparsity import ComputationLoss, SparsityLoss
from .template_mask import TemplateMaskLoss
from .tracklet_loss import TrackletLoss
from .transition import TransitionLoss

__all__ = ["BootstrappedBCE", "BootstrappedCE", "ClipLoss", "ComputationLoss", "DeltaLoss", "DiceLoss",
           "GateProbabilityLoss", "GateRateLoss", "NoteLoss", "ObjectBCE", "PixelLoss", "ReferenceLoss",
           "SoftJaccardLoss", "SparsityLoss", "TemplateMaskLoss", "TrackletLoss", "TransitionLoss", "WorkLoss"]
