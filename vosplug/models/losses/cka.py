"""Centred kernel alignment (Kornblith et al., ICML 2019)."""

import torch
from torch import Tensor

from ...registry import LOSSES
from ...utils.errors import ConfigError
from .pair import PairLoss

ESTIMATORS = {"biased": 3, "unbiased": 4}  # and the least number of examples
EXAMPLES = ("positions", "batch")
LEAST = 1e-12  # of a denominator


@LOSSES.register_module(role="pair", examples=[dict(), dict(estimator="unbiased"), dict(examples="batch")])
class CKALoss(PairLoss):
    """1 - CKA of two maps, with a linear kernel (paper, Eq. 8 and 9).

    CKA(T, S) = H(T, S) / sqrt(H(T, T) H(S, S)). As printed, Eq. 8 has H(T, S) three times and is always 1; Algorithm 1
    minimises the score itself. It is 1 under orthogonal maps, scaling and shifts of the channels, which may differ in
    number, but not under a general linear map. Between two examples it is always 1, so fewer than three are refused.

    Args:
        estimator: of H. ``biased``: tr(K C L C) / (n - 1)^2, C centring; of independent maps it is far above 0 if there
            are as many channels as examples. ``unbiased`` (Song et al., 2012): 0 on average for those, and below 0 at
            times; to be reported rather than trained on. A map of which it finds no variance has the score 0.
        examples: ``positions``: the cells of one frame, clip by clip. ``batch``: the clips, each with the whole map.
        weight: of the loss in the sum (lambda of Eq. 12).
    """

    name = "att"

    def __init__(self, estimator: str = "biased", examples: str = "positions", weight: float = 1.0):
        super().__init__()
        for option, value, known in (("estimator", estimator, ESTIMATORS), ("examples", examples, EXAMPLES)):
            if value not in known:
                raise ConfigError(f"CKALoss.{option} must be one of {', '.join(known)}, got {value!r}")
        self.estimator, self.examples, self.weight = estimator, examples, weight

    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        """(B, L, C), (B, L, C') -> mean over clips."""
        if self.examples == "batch":
            student, teacher = student.flatten(1)[None], teacher.flatten(1)[None]
        return (1 - cka(student, teacher, self.estimator)).mean()


def cka(a: Tensor, b: Tensor, estimator: str = "biased") -> Tensor:
    """CKA of examples: (..., n, C), (..., n, C') -> (...).

    Raises:
        ConfigError: there are too few examples.
    """
    count, least = a.shape[-2], ESTIMATORS[estimator]
    if count < least:
        raise ConfigError(f"CKA needs at least {least} examples ({estimator}), got {count}: between fewer it tells "
                          "nothing; take examples='positions', larger clips or more of them")
    a, b = normalised(a), normalised(b)
    hsic = biased_hsic if estimator == "biased" else unbiased_hsic
    scale = hsic(a, a).clamp(min=LEAST).sqrt() * hsic(b, b).clamp(min=LEAST).sqrt()
    return hsic(a, b) / scale


def normalised(x: Tensor) -> Tensor:
    """Columns centred, the whole scaled to norm 1, which changes no score and keeps digits; zero stays zero."""
    x = x - x.mean(dim=-2, keepdim=True)
    return x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=LEAST)


def biased_hsic(a: Tensor, b: Tensor) -> Tensor:
    """tr(K C L C), up to a factor, of centred features (..., n, C) and (..., n, C')."""
    if by_features(a, b):
        return (a.transpose(-1, -2) @ b).square().sum(dim=(-1, -2))
    return (a @ a.transpose(-1, -2) * (b @ b.transpose(-1, -2))).sum(dim=(-1, -2))


def unbiased_hsic(a: Tensor, b: Tensor) -> Tensor:
    """HSIC_1 of Song et al., up to a factor: K and L without their diagonals, of features (..., n, C), (..., n, C')."""
    count = a.shape[-2]
    (own_a, sum_a), (own_b, sum_b) = rows_of_gram(a), rows_of_gram(b)
    trace = biased_hsic(a, b) - (own_a * own_b).sum(dim=-1)
    product = sum_a.sum(dim=-1) * sum_b.sum(dim=-1) / ((count - 1) * (count - 2))
    return trace + product - 2 / (count - 2) * (sum_a * sum_b).sum(dim=-1)


def rows_of_gram(x: Tensor) -> tuple[Tensor, Tensor]:
    """Of the Gram matrix of (..., n, C): its diagonal, and the sums of its rows without it, each (..., n)."""
    own = x.square().sum(dim=-1)
    return own, (x @ x.sum(dim=-2).unsqueeze(-1)).squeeze(-1) - own


def by_features(a: Tensor, b: Tensor) -> bool:
    """Whether products of channels are cheaper than Gram matrices: n C C' against n^2 (C + C')."""
    return a.shape[-1] * b.shape[-1] <= a.shape[-2] * (a.shape[-1] + b.shape[-1])
