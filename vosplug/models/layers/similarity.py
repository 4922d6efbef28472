"""Similarities of keys."""

import math

import torch
from torch import Tensor


def anisotropic_l2(query: Tensor, memory: Tensor, selection: Tensor | None = None,
                   shrinkage: Tensor | None = None) -> Tensor:
    """XMem (Cheng and Schwing, ECCV 2022, Eq. 2): -s_m sum_c e_qc (k_mc - k_qc)^2 / sqrt(Ck).

    Args:
        query: (B, Ck, L) keys that ask.
        memory: (B, Ck, N) keys that answer.
        selection: (B, Ck, L), e; all ones if None.
        shrinkage: (B, 1, N), s; all ones if None.

    Returns:
        (B, L, N), at most 0 up to rounding.
    """
    if selection is None:
        selection = torch.ones_like(query)
    weighted = query * selection
    # The square is multiplied out, so that no (L, N, Ck) differences are held. Unlike for STCN's similarity the term
    # of the query alone stays: shrinkage scales it differently for every token.
    own = (weighted * query).sum(dim=1)[:, :, None]
    square = torch.baddbmm(own, selection.transpose(1, 2), memory.square())
    scores = torch.baddbmm(square, weighted.transpose(1, 2), memory, beta=-1, alpha=2)
    if shrinkage is not None:
        scores = scores * shrinkage
    return scores / math.sqrt(memory.shape[1])
