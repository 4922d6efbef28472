"""One line about training every so often."""

import time
from datetime import timedelta

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from ...registry import HOOKS
from ...utils.errors import ConfigError
from ...utils.process_memory import high_water_mib, resident_mib


@HOOKS.register_module()
class ConsoleHook(Hook):
    """Print progress, remaining time, learning rate, losses, speed and memory; write them to the log and backends.

    Values are means over the iterations since the last line. They go to the visualiser's backends as well (a file of
    JSON lines; TensorBoard with ``vis_backends=[dict(type='TensorboardVisBackend')]``).

    Args:
        interval: iterations between two lines; None for a hundredth of the run, at least 10 and at most 50.
    """

    priority = "BELOW_NORMAL"

    def __init__(self, interval: int | None = None):
        if interval is not None and (isinstance(interval, bool) or not isinstance(interval, int) or interval < 1):
            raise ConfigError(f"ConsoleHook: interval must be a whole number of at least 1, got {interval!r}")
        self.interval = interval

    def before_train(self, runner) -> None:
        self.every = self.interval or min(50, max(10, runner.max_iters // 100))
        self.begin = runner.iter
        self.start = self.last = time.perf_counter()
        self._forget()
        if is_main_process():
            model = runner.model
            count = sum(p.numel() for p in model.parameters() if p.requires_grad)
            name = type(getattr(model, "module", model)).__name__
            self._say(runner, f"{runner.stage.name}: iterations {runner.iter} to {runner.max_iters} on "
                              f"{runner.device}, {name} with {count / 1e6:.2f} M weights to train")

    def _forget(self) -> None:
        self.sums: dict[str, float] = {}
        self.count = 0
        self.data_time = 0.0

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs: dict | None = None) -> None:
        for name, value in (outputs or {}).items():
            self.sums[name] = self.sums.get(name, 0.0) + float(torch.as_tensor(value).detach())
        self.count += 1
        self.data_time += runner.train_loop.data_time
        done = batch_idx + 1
        if is_main_process() and (done % self.every == 0 or done == runner.max_iters):
            self._report(runner, done)

    def _report(self, runner, done: int) -> None:
        now = time.perf_counter()
        means = {name: value / self.count for name, value in self.sums.items()}
        numbers = dict(lr=runner.optim_wrapper.get_lr()["lr"][0], **means, time=(now - self.last) / self.count,
                       data_time=self.data_time / self.count, memory_mib=memory_mib(runner.device))
        if "train/grad_norm" in runner.message_hub.log_scalars:
            numbers["grad_norm"] = runner.message_hub.get_scalar("train/grad_norm").current()
        left = (now - self.start) / (done - self.begin) * (runner.max_iters - done)
        self._say(runner, line(runner.stage.name, done, runner.max_iters, left, numbers))
        runner.visualizer.add_scalars(numbers, step=done)
        self.last = now
        self._forget()

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        self.last = time.perf_counter()
        if not is_main_process():
            return
        shown = "  ".join(f"{name} {value:.4f}" for name, value in (metrics or {}).items())
        self._say(runner, f"{runner.stage.name} {runner.iter}/{runner.max_iters}  validation: "
                          f"{shown or 'no references, no numbers'}")
        if metrics:
            runner.visualizer.add_scalars({f"val/{name}": value for name, value in metrics.items()}, step=runner.iter)

    def after_train(self, runner) -> None:
        runner.visualizer.close()

    @staticmethod
    def _say(runner, text: str) -> None:
        print(text, flush=True)
        runner.logger.info(text)


def line(name: str, done: int, total: int, left: float, numbers: dict[str, float]) -> str:
    """The line of the console."""
    parts = [f"{name} {done:>{len(str(total))}}/{total}  {100 * done // total:3d}%",
             f"ETA {timedelta(seconds=round(left))}", f"lr {numbers['lr']:.2e}"]
    terms = [f"{key.removeprefix('loss_')} {value:.4f}" for key, value in numbers.items() if key.startswith("loss_")]
    if "loss" in numbers:
        parts.append(f"loss {numbers['loss']:.4f}" + (f" ({' '.join(terms)})" if len(terms) > 1 else ""))
    rest = ("lr", "loss", "time", "data_time", "memory_mib")
    parts += [f"{key} {value:.4f}" for key, value in numbers.items() if key not in rest and not key.startswith("loss_")]
    parts.append(f"{numbers['time']:.3f} s/it (data {numbers['data_time']:.3f})")
    parts.append(f"{numbers['memory_mib'] / 1024:.2f} GiB")
    return "  ".join(parts)


def memory_mib(device: torch.device) -> float:
    """Largest memory so far in MiB: of the GPU, or the resident memory of this process.

    Where the system keeps no high-water mark (macOS), it is the resident memory of this moment.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        return high_water_mib()
    except ValueError:
        return resident_mib()
