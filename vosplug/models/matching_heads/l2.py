"""Similarities of keys by their distance."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ...registry import MATCHING_HEADS
from ..layers.similarity import anisotropic_l2
from .affinity import AffinityMatching


@MATCHING_HEADS.register_module(examples=[dict(), dict(top_k=3), dict(prior=dict(type="LocalityPrior"))])
class L2Matching(AffinityMatching):
    """Negative squared L2 distance of keys over sqrt(Ck) (SpVOS Eq. 2-5, STCN): (2 k_m . k_q - |k_m|^2) / sqrt(Ck).

    The term |k_q|^2 is the same for all tokens of a query and cancels in the softmax.
    """

    def similarity(self, query: Tensor, memory: Tensor) -> Tensor:
        """(B, Ck, L), (B, Ck, N) -> (B, L, N)."""
        norm = memory.square().sum(dim=1, keepdim=True)
        return torch.baddbmm(norm, query.transpose(1, 2), memory, beta=-1, alpha=2) / math.sqrt(memory.shape[1])


@MATCHING_HEADS.register_module(examples=[dict(), dict(top_k=3)])
class AnisotropicL2Matching(AffinityMatching):
    """XMem's anisotropic L2 similarity: see :func:`~vosplug.models.layers.similarity.anisotropic_l2`.

    Tokens that ask are weighed by their ``selection``, tokens that answer by their ``shrinkage``, where they have them.
    """

    reads = ("key", "shrinkage")

    def weights(self, query: Mapping[str, Tensor], memory: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Selection (B, Ck, L) of the queries and shrinkage (B, 1, N) of the memory."""
        given = {"selection": query.get("selection"), "shrinkage": memory.get("shrinkage")}
        return {name: x for name, x in given.items() if x is not None}

    def similarity(self, query: Tensor, memory: Tensor, selection: Tensor | None = None,
                   shrinkage: Tensor | None = None) -> Tensor:
        """(B, Ck, L), (B, Ck, N), (B, Ck, L), (B, 1, N) -> (B, L, N)."""
        return anisotropic_l2(query, memory, selection, shrinkage)
