"""What runs of all families have in common."""

from abc import ABC, abstractmethod

import numpy as np
import torch

from .manifest import Manifest


class ParityRun(ABC):
    """Computes anew what a manifest says that a public implementation gave.

    Args:
        manifest: of the family.
        dtype: floating type of the run.
    """

    def __init__(self, manifest: Manifest, dtype: torch.dtype = torch.float64):
        self.manifest = manifest
        self.dtype = dtype

    @abstractmethod
    def run(self) -> dict[str, np.ndarray]:
        """Outputs by the names and with the subsampling of the manifest."""
