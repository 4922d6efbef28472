"""Exponential moving average of the weights."""

from mmengine.hooks import EMAHook as BaseEMAHook

from ...registry import HOOKS
from ...utils.errors import CheckpointError


@HOOKS.register_module()
class EMAHook(BaseEMAHook):
    """Average the weights over the updates; validate and publish the average.

    Of mmengine's hook it keeps the averaging and the exchange of weights around a validation. Differences: the average
    begins with the weights that training begins with; it moves once per update, not once per iteration, when gradients
    are accumulated; in checkpoints ``state_dict`` holds the average and ``train_state_dict`` the weights of training.

    Args:
        momentum: share of the new weights in an update of the average.
        gamma: early on the share is ``gamma / (gamma + updates)`` if that is larger, so that short runs work as well.
        begin_iter: before this iteration the average is a copy of the weights.
    """

    def __init__(self, momentum: float = 0.001, gamma: int = 10, begin_iter: int = 0):
        super().__init__(ema_type="MomentumAnnealingEMA", momentum=momentum, gamma=gamma, begin_iter=begin_iter)
        self.restored: dict | None = None

    def before_train(self, runner) -> None:
        if self.restored is None:
            self.ema_model.module.load_state_dict(self.src_model.state_dict())
            if runner.resume_from is not None:
                runner.logger.warning("the checkpoint has no average of the weights (EMA): it begins here")
        else:
            self.ema_model.module.load_state_dict(self.restored["weights"])
            self.ema_model.steps.fill_(self.restored["steps"])
        self.restored = None

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs: dict | None = None) -> None:
        if runner.optim_wrapper.should_update():
            super().after_train_iter(runner, batch_idx, data_batch, outputs)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        weights = checkpoint["state_dict"]
        averages = dict(self.ema_model.module.named_parameters())
        checkpoint["train_state_dict"] = weights
        checkpoint["state_dict"] = {name: averages.get(name, value) for name, value in weights.items()}
        checkpoint["ema"] = dict(steps=int(self.ema_model.steps))

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        if runner.resume_from is None or "ema" not in checkpoint:
            return
        if "steps" not in checkpoint["ema"]:
            raise CheckpointError("the checkpoint has an average of the weights but not its number of updates")
        self.restored = dict(weights=checkpoint["state_dict"], steps=checkpoint["ema"]["steps"])
