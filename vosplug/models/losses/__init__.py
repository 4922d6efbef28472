"""Losses: of semi-supervised methods they read the record of a clip; those of distillation compare two models."""

from .base import ClipLoss, NoteLoss, PixelLoss, WorkLoss
from .bootstrapped_bce import BootstrappedBCE
from .bootstrapped_ce import BootstrappedCE
from .cka import CKALoss
from .dice import DiceLoss
from .inter_object import InterObjectLoss
from .intra_object import IntraObjectLoss
from .kl_attention import KLAttentionLoss
from .kl_logits import KLLogitLoss
from .object_bce import ObjectBCE
from .pair import PairLoss
from .projector_ensemble import ProjectorEnsembleLoss
from .pseudo_labels import PseudoLabelLoss
from .reference import ReferenceLoss
from .reuse import DeltaLoss, GateProbabilityLoss, GateRateLoss
from .soft_jaccard import SoftJaccardLoss
from .sparsity import ComputationLoss, SparsityLoss
from .template_mask import TemplateMaskLoss
from .tracklet_loss import TrackletLoss
from .transition import TransitionLoss

__all__ = ["BootstrappedBCE", "BootstrappedCE", "CKALoss", "ClipLoss", "ComputationLoss", "DeltaLoss", "DiceLoss",
           "GateProbabilityLoss", "GateRateLoss", "InterObjectLoss", "IntraObjectLoss", "KLAttentionLoss",
           "KLLogitLoss", "NoteLoss", "ObjectBCE", "PairLoss", "PixelLoss", "ProjectorEnsembleLoss", "PseudoLabelLoss",
           "ReferenceLoss", "SoftJaccardLoss", "SparsityLoss", "TemplateMaskLoss", "TrackletLoss", "TransitionLoss",
           "WorkLoss"]
