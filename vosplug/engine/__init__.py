"""Training: runner, loops, hooks and optimiser wrapper; importing this package registers them."""

from .hooks import CheckpointHook, ClipCurriculumHook, ConsoleHook, EMAHook, FiniteLossHook, ProgressHook
from .optim import VOSOptimWrapper
from .runner import VOSRunner
from .schedules import WarmupPolyLR
from .stages import Stage, split_stages
from .train_loop import ClipTrainLoop
from .training import run_training
from .val_loop import VideoValLoop

__all__ = ["CheckpointHook", "ClipCurriculumHook", "ClipTrainLoop", "ConsoleHook", "EMAHook", "FiniteLossHook",
           "ProgressHook", "Stage", "VOSOptimWrapper", "VOSRunner", "VideoValLoop", "WarmupPolyLR",
           "run_training", "split_stages"]
