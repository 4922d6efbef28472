"""Counting multiply-accumulates part by part, while a model runs."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from .flop_mode import FlopMode


class StageCounter:
    """Counts multiply-accumulates per part of a model (torch's FLOP formulas: two FLOPs are one MAC).

    Where a part calls another one, the work is that of the one that is called.

    Args:
        model: the model.
        parts: name -> modules that are counted together. By default the direct children.
    """

    def __init__(self, model: nn.Module, parts: Mapping[str, Sequence[nn.Module]] | None = None):
        self.parts = {name: [child] for name, child in model.named_children()} if parts is None else dict(parts)
        self.counts: dict[str, int] = defaultdict(int)
        self._calls: list[list[int]] = []  # of modules that run: the count at their start, and that of inner calls

    @contextmanager
    def count(self) -> Iterator[None]:
        """Count everything that runs inside; what no part does is counted as ``other``."""
        counter = FlopMode()
        handles = []
        for name, module in ((n, m) for n, parts in self.parts.items() for part in parts for m in part.modules()):
            handles.append(module.register_forward_pre_hook(
                lambda _m, _i: self._calls.append([counter.flops, 0])))
            handles.append(module.register_forward_hook(
                lambda _m, _i, _o, name=name: self.leave(name, counter.flops)))
        before = sum(self.counts.values())
        try:
            with counter:
                yield
        finally:
            for handle in handles:
                handle.remove()
        self.counts["other"] += counter.flops // 2 - (sum(self.counts.values()) - before)

    def leave(self, name: str, flops: int) -> None:
        """Book what a module of a part has done itself."""
        start, inner = self._calls.pop()
        self.counts[name] += (flops - start - inner) // 2
        if self._calls:
            self._calls[-1][1] += flops - start


@contextmanager
def without_fast_attention() -> Iterator[None]:
    """Let attention layers run step by step: torch has no FLOP formula for their fused forms on every device."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextmanager
def without_gradients(model: nn.Module) -> Iterator[None]:
    """Let no weight require a gradient: torch's counter would register hooks for gradients that never come."""
    wanted = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in wanted:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in wanted:
            parameter.requires_grad_(True)
