"""How long the stages of a segmentor take, with and without a reuse gate."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from ..models.segmentors import ReuseGated
from ..models.segmentors.slot_base import SlotSegmentor

STAGES = {"encode_shallow": "early", "encode_deep": "late", "decode_coarse": "coarse", "decode_fine": "finish",
          "compose": "compose", "memorize": "update"}
OF_THE_GATE = {"compare": "gate", "gate.forward": "gate", "translate": "translator", "memorize": "update"}
OF_SLOTS = {"matching_head.forward": "matching"}


class StageTimes:
    """Seconds of each stage; what a stage calls of others is theirs.

    Stages: ``early`` and ``late`` features, ``coarse`` (all that needs the memory), ``matching`` (of CFBI and SST; then
    ``coarse`` is what else needs the memory), ``gate`` (template matching included), ``translator``, ``finish`` (from
    shallow features to logits), ``compose``, ``update`` (of the memory, and of what is learnt).

    Args:
        clock: gives seconds.

    Attributes:
        seconds: stage -> time since :meth:`start`.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter):
        self.clock = clock
        self.seconds: dict[str, float] = defaultdict(float)
        self._inner: list[float] = []  # of stages that run: time of the stages that they called

    def start(self) -> None:
        """Forget what was measured so far."""
        self.seconds.clear()

    def timed(self, stage: str, call: Callable) -> Callable:
        """``call``, with its time booked."""
        def run(*args: Any, **options: Any) -> Any:
            self._inner.append(0.0)
            begin = self.clock()
            try:
                return call(*args, **options)
            finally:
                spent, inner = self.clock() - begin, self._inner.pop()
                self.seconds[stage] += spent - inner
                if self._inner:
                    self._inner[-1] += spent
        return run

    @contextmanager
    def watch(self, model: nn.Module) -> Iterator["StageTimes"]:
        """Take the times of what ``model``, a segmentor, does inside."""
        inner = model.segmentor if isinstance(model, ReuseGated) else model
        places = [(inner, name, stage) for name, stage in STAGES.items()]
        parts = [*([(model, OF_THE_GATE)] if inner is not model else []),
                 *([(inner, OF_SLOTS)] if isinstance(inner, SlotSegmentor) else [])]
        for owner, stages in parts:
            for path, stage in stages.items():
                *names, name = path.split(".")
                places.append((owner.get_submodule(".".join(names)), name, stage))
        for owner, name, stage in places:
            setattr(owner, name, self.timed(stage, getattr(owner, name)))
        try:
            yield self
        finally:
            for owner, name, _ in places:
                delattr(owner, name)
