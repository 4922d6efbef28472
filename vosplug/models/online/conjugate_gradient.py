"""Gauss-Newton steps whose linear problems are solved by a few iterations of conjugate gradients."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ...utils.errors import ConfigError

Parameters = list[Tensor]
FORMULAS = ("polak_ribiere", "fletcher_reeves")
FORGETTING_BASE = 0.9


class LinearisedProblem(Protocol):
    """A sum of squares |r(p)|^2 whose residuals r are known with their Jacobian J."""

    def linearise(self, parameters: Parameters) -> tuple[Parameters, Callable[[Parameters], Parameters]]:
        """Return J^T r at ``parameters``, and the function that maps a direction d to J^T J d."""


@dataclass
class Direction:
    """What conjugate gradients remember from one iteration to the next.

    Attributes:
        step: the last direction; None before the first iteration.
        rho: () inner product of the last residual and its preconditioned form.
        residual: the last residual.
    """

    step: Parameters | None = None
    rho: Tensor | None = None
    residual: Parameters | None = None


class GaussNewtonCG:
    """The optimiser of ATOM (Danelljan et al., CVPR 2019, section 3.2) and of FRTM's target model (section 3.2).

    Each Gauss-Newton step solves J^T J d = -J^T r approximately by conjugate gradients, started at zero, and adds d.
    The preconditioner divides the residual of each parameter tensor by a number; one inner product runs over all of
    them.
    Conjugate directions go on across steps: before a step the old rho is divided by ``0.9 ** forgetting``, which for
    large ``forgetting`` leaves nothing of the old direction.

    Args:
        precond: divisor of each parameter tensor.
        formula: of the factor beta: ``polak_ribiere`` (never below zero) or ``fletcher_reeves``.
        forgetting: exponent; see above.
        reset_direction: start every Gauss-Newton step without an old direction.
    """

    def __init__(self, precond: Sequence[float], formula: str = "polak_ribiere", forgetting: float = 750,
                 reset_direction: bool = False):
        if formula not in FORMULAS:
            raise ConfigError(f"GaussNewtonCG.formula must be one of {', '.join(FORMULAS)}, got {formula!r}")
        if not precond or min(precond) <= 0 or forgetting < 0:
            raise ConfigError("GaussNewtonCG needs positive precond and forgetting of at least 0, "
                              f"got {list(precond)} and {forgetting}")
        self.precond = list(precond)
        self.formula = formula
        self.factor = FORGETTING_BASE ** forgetting
        self.reset_direction = reset_direction

    def run(self, problem: LinearisedProblem, parameters: Parameters, iterations: Sequence[int],
            direction: Direction | None = None, watch: Callable[[Parameters], None] | None = None) -> Parameters:
        """Take one Gauss-Newton step per entry of ``iterations``.

        Args:
            problem: whose residuals are made small.
            parameters: start; not changed.
            iterations: of conjugate gradients, for each step.
            direction: of an earlier run, which goes on here; changed in place.
            watch: called with the parameters after every step.

        Returns:
            The new parameters.
        """
        direction = Direction() if direction is None else direction
        for count in iterations:
            gradient, product = problem.linearise(parameters)
            steps = self.solve(product, [-g for g in gradient], count, direction)
            parameters = [p + s for p, s in zip(parameters, steps, strict=True)]
            if watch is not None:
                watch(parameters)
        return parameters

    def solve(self, product: Callable[[Parameters], Parameters], right: Parameters, count: int,
              direction: Direction) -> Parameters:
        """Approximate the solution x of ``product(x) = right`` by ``count`` iterations from zero."""
        if self.reset_direction:
            direction.step = None
        elif direction.rho is not None:
            direction.rho = direction.rho / self.factor
        solution = [torch.zeros_like(r) for r in right]
        residual = right
        for iteration in range(count):
            scaled = [r / m for r, m in zip(residual, self.precond, strict=True)]
            rho = inner(residual, scaled)
            step = scaled
            if direction.step is not None:
                beta = self.beta(rho, scaled, direction)
                step = [z + beta * p for z, p in zip(scaled, direction.step, strict=True)]
            image = product(step)
            alpha = ratio(rho, inner(step, image))
            solution = [x + alpha * p for x, p in zip(solution, step, strict=True)]
            direction.step, direction.rho, direction.residual = step, rho, residual
            if iteration < count - 1:  # the source's last update, which the next run's formula would see, is left out
                residual = [r - alpha * q for r, q in zip(residual, image, strict=True)]
        return solution

    def beta(self, rho: Tensor, scaled: Parameters, direction: Direction) -> Tensor:
        """Share of the old direction in the new one."""
        if self.formula == "polak_ribiere":
            rho = rho - inner(direction.residual, scaled)
        return ratio(rho, direction.rho).clamp(min=0)


def inner(a: Parameters, b: Parameters) -> Tensor:
    """Inner product over all parameter tensors."""
    return sum((x * y).sum() for x, y in zip(a, b, strict=True))


def ratio(a: Tensor, b: Tensor) -> Tensor:
    """a / b, and 0 where b is 0: nothing is left to be solved."""
    return torch.where(b == 0, torch.zeros_like(a), a / torch.where(b == 0, torch.ones_like(b), b))
