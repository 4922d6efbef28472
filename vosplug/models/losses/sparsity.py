"""Losses on what sparse convolutions compute."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from ...registry import LOSSES
from ...structures import Work
from ...utils.errors import ConfigError
from .base import WorkLoss


@LOSSES.register_module(examples=[dict(), dict(target=0.5, beta=0.0)])
class SparsityLoss(WorkLoss):
    """Keep the share of computed sites at a target: in every layer at first, in the whole network later (Eq. 11-13).

    The bounds of the layers open as in dynamic convolutions (Verelst and Tuytelaars, 2020): their distance to the
    target grows by a squared cosine until a third of the training is over, where they are 0 and 1.

    Args:
        target: t_s.
        beta: weight of the global term.
        relax: share of the training after which layers are free.
        weight: gamma (Eq. 10).
    """

    name = "sparsity"

    def __init__(self, target: float = 0.1, beta: float = 1.0, relax: float = 0.33, weight: float = 1.0):
        super().__init__()
        if not 0 <= target <= 1:
            raise ConfigError(f"SparsityLoss.target must lie in [0, 1], got {target}")
        if not relax > 0:
            raise ConfigError(f"SparsityLoss.relax must be positive, got {relax}")
        self.target, self.beta, self.relax, self.weight = target, beta, relax, weight
        self.set_progress(0, 1)

    def set_progress(self, iteration: int, max_iterations: int) -> None:
        """Set the bounds of an iteration; called by the training loop."""
        done = min(iteration / (self.relax * max_iterations), 1.0)
        closed = math.cos(done * math.pi / 2) ** 2
        self.upper = 1 - closed * (1 - self.target)
        self.lower = closed * self.target

    def work(self, work: list[Work]) -> Tensor:
        """See the base class."""
        layers = sums_by_layer(work)
        if not layers:
            return torch.zeros(())
        share = torch.stack([chosen / sites for _, chosen, sites in layers])
        above, below = (share - self.upper).clamp(min=0), (self.lower - share).clamp(min=0)
        return (above.square() + below.square()).sum() + self.beta * (cost_share(layers) - self.target).square()


@LOSSES.register_module(examples=[dict(weight=0.5)])
class ComputationLoss(WorkLoss):
    """The share of the multiply-accumulates that is computed: the cost term of Skip-Convolution (SpVOS IV-B).

    Args:
        weight: of the loss in the sum.
    """

    name = "computation"

    def __init__(self, weight: float = 1.0):
        super().__init__()
        self.weight = weight

    def work(self, work: list[Work]) -> Tensor:
        """See the base class."""
        layers = sums_by_layer(work)
        return cost_share(layers) if layers else torch.zeros(())


def sums_by_layer(work: Iterable[Work]) -> list[tuple[int, Tensor, int]]:
    """(cost per site, chosen sites, sites that were decided) of each layer, over all frames and objects."""
    layers: dict[str, tuple[int, Tensor, int]] = {}
    for item in work:
        if item.decided:
            _, chosen, sites = layers.get(item.layer, (0, 0, 0))
            layers[item.layer] = (item.cost, chosen + item.chosen, sites + item.decided)
    return list(layers.values())


def cost_share(layers: list[tuple[int, Tensor, int]]) -> Tensor:
    """Share of the multiply-accumulates that is computed: the fraction in Eq. 12."""
    return sum(cost * chosen for cost, chosen, _ in layers) / sum(cost * sites for cost, _, sites in layers)
