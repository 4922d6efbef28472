"""Distillation of features through an ensemble of projectors (PEFD, Chen et al., NeurIPS 2022)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...registry import LOSSES
from ...utils.errors import ConfigError
from .pair import PairLoss


@LOSSES.register_module(role="pair", examples=[dict(), dict(projectors=1, weight=1.0)])
class ProjectorEnsembleLoss(PairLoss):
    """1 - cosine between the teacher's features and the mean of several projections of the student's, cell by cell.

    A projector is a linear map to the teacher's channels and ReLU. They are trained with the student, and are no part
    of it: a checkpoint to resume from holds them, the weights to use do not.

    Args:
        projectors: how many; they differ by their first values.
        weight: of the loss in the sum.
    """

    name, columns = "pefd", "fixed"

    def __init__(self, projectors: int = 3, weight: float = 25.0):
        super().__init__()
        if projectors < 1:
            raise ConfigError(f"ProjectorEnsembleLoss.projectors must be at least 1, got {projectors}")
        self.count, self.weight = projectors, weight
        self.projectors = nn.ModuleList()

    def prepare(self, student: Tensor, teacher: Tensor) -> None:
        """Make the projectors for cells (B, L, C) and (B, L, C')."""
        self.projectors = nn.ModuleList(nn.Linear(student.shape[-1], teacher.shape[-1]) for _ in range(self.count))
        self.projectors.to(student.device)

    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        """(B, L, C), (B, L, C') -> mean over cells and clips."""
        if not self.projectors:
            self.prepare(student, teacher)
        wanted, found = self.widths(), (student.shape[-1], teacher.shape[-1])
        if found != wanted:
            raise ConfigError(f"ProjectorEnsembleLoss projects {wanted[0]} channels to {wanted[1]}, but got {found[0]} "
                              f"and {found[1]}: the feature has channels for each object, choose one that has not")
        projected = torch.stack([F.relu(project(student)) for project in self.projectors]).mean(dim=0)
        return (1 - F.cosine_similarity(projected, teacher, dim=-1)).mean()

    def widths(self) -> tuple[int, int]:
        """Channels of student and teacher."""
        return self.projectors[0].in_features, self.projectors[0].out_features
