"""The least-squares problems of FRTM's target model, with Jacobian products written out.

A target model scores a feature map x with two linear layers, s = F * (P x): a 1x1 projection P and a 3x3 filter F. It
is learnt by minimising, over samples n with weights c_n, labels y_n at full resolution, pixel weights W_n and bilinear
up-sampling U,

    sum_n c_n |W_n (U s_n - y_n)|^2 + |a_P P|^2 + |a_F F|^2                          (FRTM, section 3.1)

so the penalties weigh the squared norms by the squares of a_P and a_F. This is an L2 loss although no loss function is
called anywhere: the residuals are linear in each layer, so J^T r and J^T J d are a few convolutions. With the stencil
K_n = U^T W_n^2 U and z_n = U^T W_n^2 y_n of :func:`~.stencil.label_stencil` they never touch full resolution. There
is nothing to differentiate automatically, which also works where gradients are switched off.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .conjugate_gradient import Parameters
from .stencil import apply_stencil, neighbours


def filter_scores(hidden: Tensor, weight: Tensor) -> Tensor:
    """3x3 convolution to one channel: (N, C, h, w), (1, C, 3, 3) -> (N, h, w).

    One matrix product for the nine taps, whose results are shifted and added: the channels are read once, not nine
    times.
    """
    size = hidden.shape[-2:]
    taps = weight[0].flatten(1).T @ hidden.flatten(2)
    return F.fold(taps.flip(1), size, 3, padding=1)[:, 0]


def filter_gradient(hidden: Tensor, error: Tensor) -> Tensor:
    """Adjoint of :func:`filter_scores` in the weight: (N, C, h, w), (N, h, w) -> (1, C, 3, 3)."""
    taps = neighbours(error).flip(1).flatten(2)
    return (hidden.flatten(2) @ taps.transpose(1, 2)).sum(dim=0).unflatten(1, (3, 3))[None]


def hidden_gradient(weight: Tensor, error: Tensor) -> Tensor:
    """Adjoint of :func:`filter_scores` in the input: (1, C, 3, 3), (N, h, w) -> (N, C, h*w)."""
    return weight[0].flatten(1) @ neighbours(error).flip(1).flatten(2)


class FilterProblem:
    """The problem in the filter alone, with projected samples.

    Args:
        hidden: (N, C, h, w), P x_n.
        stencil, target: (N, 9, h, w) and (N, h, w) of :func:`~.stencil.label_stencil`.
        weights: (N,), c_n.
        penalty: a_F.
    """

    def __init__(self, hidden: Tensor, stencil: Tensor, target: Tensor, weights: Tensor, penalty: float):
        self.hidden, self.stencil, self.target = hidden, stencil, target
        self.weights = weights[:, None, None]
        self.penalty = penalty ** 2

    def linearise(self, parameters: Parameters) -> tuple[Parameters, Callable[[Parameters], Parameters]]:
        """J^T r at the filter (1, C, 3, 3), and the product with J^T J."""
        error = self.weights * (self._couple(parameters[0]) - self.target)
        return [filter_gradient(self.hidden, error) + self.penalty * parameters[0]], self._product

    def loss(self, weight: Tensor) -> Tensor:
        """() loss up to the constant sum_n c_n |W_n y_n|^2."""
        scores = filter_scores(self.hidden, weight)
        data = self.weights * scores * (apply_stencil(self.stencil, scores) - 2 * self.target)
        return data.sum() + self.penalty * weight.square().sum()

    def _couple(self, weight: Tensor) -> Tensor:
        return apply_stencil(self.stencil, filter_scores(self.hidden, weight))

    def _product(self, direction: Parameters) -> Parameters:
        image = filter_gradient(self.hidden, self.weights * self._couple(direction[0]))
        return [image + self.penalty * direction[0]]


class LayersProblem:
    """The problem in both layers.

    Args:
        features: (N, Cin, h, w), x_n.
        stencil, target, weights: see :class:`FilterProblem`.
        penalties: a_P and a_F.
    """

    def __init__(self, features: Tensor, stencil: Tensor, target: Tensor, weights: Tensor,
                 penalties: tuple[float, float]):
        self.features = features.flatten(2)
        self.size = features.shape[-2:]
        self.stencil, self.target = stencil, target
        self.weights = weights[:, None, None]
        self.penalties = [p ** 2 for p in penalties]

    def linearise(self, parameters: Parameters) -> tuple[Parameters, Callable[[Parameters], Parameters]]:
        """J^T r at projection (C, Cin, 1, 1) and filter (1, C, 3, 3), and the product with J^T J."""
        project, weight = parameters
        hidden = self._project(project)
        error = self.weights * (apply_stencil(self.stencil, filter_scores(hidden, weight)) - self.target)

        def adjoint(error: Tensor, at: Parameters) -> Parameters:
            gradients = [self._project_gradient(weight, error), filter_gradient(hidden, error)]
            return [g + a * p for g, a, p in zip(gradients, self.penalties, at, strict=True)]

        def product(direction: Parameters) -> Parameters:
            scores = filter_scores(self._project(direction[0]), weight) + filter_scores(hidden, direction[1])
            return adjoint(self.weights * apply_stencil(self.stencil, scores), direction)

        return adjoint(error, parameters), product

    def _project(self, project: Tensor) -> Tensor:
        return (project.flatten(1) @ self.features).unflatten(2, self.size)

    def _project_gradient(self, weight: Tensor, error: Tensor) -> Tensor:
        hidden = hidden_gradient(weight, error)
        return torch.einsum("ncl,ndl->cd", hidden, self.features)[:, :, None, None]
