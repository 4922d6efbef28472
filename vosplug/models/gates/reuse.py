"""The learnt gate."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...registry import GATES
from ...utils.errors import ConfigError
from ..layers.aggregate import full_precision
from .base import Gate, GateInput

NOISES = ("none", "gumbel")
EPSILON = 1e-6


@GATES.register_module(examples=[dict(hidden=4), dict(hidden=4, outputs=1, noise="gumbel")])
class ReuseGate(Gate):
    """P = sigma(w2 * f(w1 * f(D))): max-pooling and convolutions on the dissimilarity (reuse gate paper, Eq. 1).

    As published: pooling to 7x7, 3x3 convolution of stride 2, batch norm, pooling to 3x3, 3x3 convolution to two
    numbers whose softmax is taken; its first component is reuse. ``outputs=1`` is Eq. 1 literally.

    Args:
        in_channels: of the dissimilarity; given by the segmentor.
        hidden: channels of the first convolution.
        outputs: of the second one, 2 or 1.
        initial_rate: sets the last biases so that P has this value where the last convolution sees zeros; None leaves
            them as drawn.
        noise: of the decisions in training: ``none``, or ``gumbel``.
    """

    compares = True

    def __init__(self, in_channels: int, hidden: int = 16, outputs: int = 2, initial_rate: float | None = 0.15,
                 noise: str = "none"):
        super().__init__()
        if outputs not in (1, 2):
            raise ConfigError(f"ReuseGate.outputs must be 1 or 2, got {outputs}")
        if initial_rate is not None and not 0 < initial_rate < 1:
            raise ConfigError(f"ReuseGate.initial_rate must lie between 0 and 1, got {initial_rate}")
        if noise not in NOISES:
            raise ConfigError(f"ReuseGate.noise must be one of {', '.join(NOISES)}, got {noise!r}")
        self.noise = noise
        self.conv1 = nn.Conv2d(in_channels, hidden, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(hidden)
        self.conv2 = nn.Conv2d(hidden, outputs, 3)
        if initial_rate is not None:
            nn.init.zeros_(self.conv2.bias)
            nn.init.constant_(self.conv2.bias[:1], math.log(initial_rate / (1 - initial_rate)))

    def forward(self, inputs: GateInput) -> Tensor:
        """See :class:`~.base.Gate`. Never in half precision: its steps near 1 are as large as what tau tells apart."""
        dissimilarity = full_precision(inputs.dissimilarity)
        with torch.autocast(dissimilarity.device.type, enabled=False):
            return self.probability(dissimilarity.to(self.conv1.weight))

    def sample(self, probability: Tensor) -> Tensor:
        """Gumbel noise on both log-probabilities, if asked for: the difference of two such draws is logistic."""
        if self.noise == "none":
            return probability
        draws = torch.rand_like(probability).clamp(EPSILON, 1 - EPSILON)
        return (probability.clamp(EPSILON, 1 - EPSILON).logit() + draws.logit()).sigmoid()

    def probability(self, dissimilarity: Tensor) -> Tensor:
        """(R, C, h, w) -> (R,)."""
        x = self.norm(self.conv1(F.adaptive_max_pool2d(dissimilarity, 7)))
        x = self.conv2(F.adaptive_max_pool2d(x, 3)).flatten(1)
        return x.softmax(dim=1)[:, 0] if x.shape[1] == 2 else x[:, 0].sigmoid()
