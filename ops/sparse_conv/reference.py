"""What the sparse convolutions compute, in the plainest PyTorch: a dense convolution and a choice per site."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .sites import COMPUTE, REUSE


def sparse_conv2d_reference(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    policy: Tensor,
    prev_out: Tensor | None,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    activation: str | None = None,
    x_prev: Tensor | None = None,
) -> Tensor:
    """Dense reference of every form of the sparse convolution (SpVOS, Eq. 8); differentiable in all float inputs.

    Shapes as in :func:`vosplug.ops.triple_sparse_conv2d`. With ``x_prev`` it is the residual form: sites with policy 2
    get ``prev_out + conv(x - x_prev)``.
    """
    dense = F.conv2d(x if x_prev is None else x - x_prev, weight, bias, stride, padding, dilation, groups)
    if x_prev is not None:
        dense = prev_out + dense
    if activation == "relu":
        dense = F.relu(dense)
    kind = policy[:, None]
    kept = torch.zeros((), dtype=dense.dtype, device=dense.device)
    if prev_out is not None:
        kept = torch.where(kind == REUSE, prev_out, kept)
    return torch.where(kind == COMPUTE, dense, kept)
