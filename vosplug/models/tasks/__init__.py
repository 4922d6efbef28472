"""How models are trained: a task stands around a model, and is no part of it."""

from .distillation import Distillation
from .supervised import SupervisedClips
from .tracklets import SupervisedTracklets

__all__ = ["Distillation", "SupervisedClips", "SupervisedTracklets"]
