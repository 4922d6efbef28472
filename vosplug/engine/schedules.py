"""Learning rates that mmengine's schedulers do not give."""

from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler
from mmengine.registry import PARAM_SCHEDULERS

from ..utils.errors import ConfigError


@PARAM_SCHEDULERS.register_module()
class WarmupPolyLR(LRSchedulerMixin, _ParamScheduler):
    """From the least rate linearly to that of each group, then by a power of what is left back to the least rate.

    With i of n iterations after the warm-up: ``least + (rate - least) * (1 - i / (n + 1)) ** power``, as AOT trains. A
    group whose own rate is ``least + share * (rate - least)`` has at any time that share of the others' distance from
    ``least``. CFBI's rates begin and end at zero, but are never below a floor.

    Args:
        optimizer, last_step, verbose: see mmengine's schedulers.
        least: rate at both ends.
        power: of the decay.
        warmup: a share of the iterations, in [0, 1), or their number as an int; no longer than the run.
        floor: no rate is smaller at any time.
        begin, end: iterations.
    """

    def __init__(self, optimizer, least: float = 0.0, power: float = 0.9, warmup: float | int = 0.05,
                 floor: float = 0.0, begin: int = 0, end: int = 100_000, last_step: int = -1, by_epoch: bool = False,
                 verbose: bool = False):
        counted = isinstance(warmup, int) and not isinstance(warmup, bool)
        if warmup < 0 or not (counted or warmup < 1):
            raise ConfigError(f"WarmupPolyLR.warmup must lie in [0, 1), got {warmup}; iterations are a whole number")
        if least < 0 or power <= 0 or floor < 0:
            raise ConfigError("WarmupPolyLR needs least >= 0, power > 0 and floor >= 0, got "
                              f"{least}, {power} and {floor}")
        self.least, self.power, self.floor = least, power, floor
        self.rising = min(warmup, end - begin) if counted else round(warmup * (end - begin))
        self.falling = end - begin - self.rising
        super().__init__(optimizer=optimizer, begin=begin, end=end, last_step=last_step, by_epoch=by_epoch,
                         verbose=verbose)

    def _get_value(self) -> list[float]:
        """Rate of each group at ``last_step``, counted from ``begin``."""
        share = self.share(self.last_step)
        return [max(self.floor, self.least + (base - self.least) * share) for base in self.base_values]

    def share(self, iteration: int) -> float:
        """Share of the distance between the least rate and a group's own."""
        if iteration < self.rising:
            return iteration / self.rising
        return max(0.0, 1 - (iteration - self.rising) / (self.falling + 1)) ** self.power
