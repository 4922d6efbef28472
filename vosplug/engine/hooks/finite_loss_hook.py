"""Stops training at a loss that is not finite."""

import math

import torch
from mmengine.hooks import Hook

from ...registry import HOOKS
from ...utils.errors import TrainingError


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Raise :class:`TrainingError` as soon as a loss is NaN or infinite, before anything is saved or averaged."""

    priority = "HIGHEST"

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs: dict | None = None) -> None:
        losses = {name: value for name, value in (outputs or {}).items() if "loss" in name}
        values = {name: float(torch.as_tensor(value).detach()) for name, value in losses.items()}
        bad = sorted((name for name, value in values.items() if not math.isfinite(value)), key=lambda n: n == "loss")
        if bad:
            videos = ", ".join(sample.video for sample in (data_batch or {}).get("data_samples", []))
            raise TrainingError(
                f"iteration {batch_idx}: {bad[0]} is {values[bad[0]]} (clips of: {videos or 'unknown'}); training was "
                "stopped and nothing was saved, earlier checkpoints are intact. Lower the learning rate, set "
                "optim_wrapper.clip_grad, or train without amp")
