"""What losses between a student and its teacher share."""

from abc import abstractmethod

import torch
from torch import Tensor, nn

EPSILON = 1e-8


class PairLoss(nn.Module):
    """Base of losses between a feature of a student and the teacher's; computed in float32 at least.

    Attributes:
        name: under which the loss is logged.
        weight: of the loss in the sum; applied by the task.
        reads: what it compares: ``cells`` (B, L, C), which may have different C, or ``logits`` (B, O + 1, h, w), -inf
            for objects that a clip does not have. Both have the same grid.
        columns: what the last axis of cells has to be: ``any``; ``keys``, ``channels``: as many in both; ``fixed``:
            as many on every frame, however many objects there are.
    """

    name: str
    weight: float
    reads: str = "cells"
    columns: str = "any"

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """A scalar; of the teacher no gradient is wanted."""
        with torch.autocast(student.device.type, enabled=False):
            return self.compare(_full(student), _full(teacher.detach()))

    @abstractmethod
    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        """A scalar of float32 or float64 tensors."""

    def prepare(self, student: Tensor, teacher: Tensor) -> None:
        """Make weights of the loss's own for features like these; called once, before training."""


def _full(x: Tensor) -> Tensor:
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def pearson_distance(a: Tensor, b: Tensor) -> Tensor:
    """1 - correlation over the last axis: (..., N), (..., N) -> (...); 1 where either is constant."""
    a, b = a - a.mean(dim=-1, keepdim=True), b - b.mean(dim=-1, keepdim=True)
    # The product of norms, not the root of a product: its gradient is finite where either is zero.
    norms = torch.linalg.vector_norm(a, dim=-1) * torch.linalg.vector_norm(b, dim=-1)
    return 1 - (a * b).sum(dim=-1) / (norms + EPSILON)


def probabilities(logits: Tensor, temperature: float) -> Tensor:
    """(B, O + 1, h, w) logits -> softmax over the channels, at a temperature; 0 for channels of -inf."""
    return (logits / temperature).softmax(dim=1)
