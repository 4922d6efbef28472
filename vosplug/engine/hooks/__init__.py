"""Hooks of training."""

from .checkpoint_hook import CheckpointHook
from .console_hook import ConsoleHook
from .curriculum_hook import ClipCurriculumHook
from .ema_hook import EMAHook
from .finite_loss_hook import FiniteLossHook
from .progress_hook import ProgressHook

__all__ = ["CheckpointHook", "ClipCurriculumHook", "ConsoleHook", "EMAHook", "FiniteLossHook", "ProgressHook"]
