"""Tells modules how far training is."""

from mmengine.hooks import Hook

from ...models.segmentors.task_model import task_parts
from ...registry import HOOKS
from ...utils.checkpoint import unwrapped


@HOOKS.register_module()
class ProgressHook(Hook):
    """Call ``set_progress(iteration, max_iters)`` on every module that has it, before each iteration.

    Losses with a warm-up, gates with a temperature and the like keep no counter of their own, so that they are right
    after a resume as well. The task and its losses are told too.
    """

    priority = "HIGH"

    def before_train(self, runner) -> None:
        model = unwrapped(runner.model)
        task = getattr(model, "task", None)
        parts = [*model.modules(), task, *task_parts(task).modules()]
        self.modules = [part for part in parts if callable(getattr(part, "set_progress", None))]

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        for module in self.modules:
            module.set_progress(runner.iter, runner.max_iters)
