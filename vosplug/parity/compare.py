"""Comparing what we compute with what is stored."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Row:
    """Comparison of one tensor.

    Attributes:
        name: of the tensor.
        shape: ours, None if it was not computed.
        max_abs: largest absolute difference (number of differing elements for integer tensors).
        relative: the same relative to the peak of the stored tensor.
        fault: why the tensor fails, empty if it passes.
    """

    name: str
    shape: tuple[int, ...] | None
    max_abs: float
    relative: float
    fault: str = ""


def compare(name: str, ours: Any, stored: np.ndarray, tolerance: dict[str, Any]) -> Row:
    """Compare a tensor. Integers have to be identical; real numbers need either bound of the tolerance."""
    if ours is None:
        return Row(name, None, np.nan, np.nan, "not computed")
    ours = np.asarray(ours)
    if ours.shape != stored.shape:
        return Row(name, ours.shape, np.nan, np.nan, f"shape {ours.shape}, expected {stored.shape}")
    if stored.dtype.kind in "iub":
        differing = int((ours != stored).sum())
        return Row(name, ours.shape, differing, differing / max(1, stored.size),
                   f"{differing} of {stored.size} elements differ" if differing else "")
    if not np.isfinite(ours).all():
        return Row(name, ours.shape, np.nan, np.nan, "has values that are not finite")
    difference = float(np.abs(ours.astype(np.float64) - stored.astype(np.float64)).max(initial=0))
    relative = difference / max(float(np.abs(stored).max(initial=0)), 1e-300)
    good = difference <= tolerance["max_abs"] or relative <= tolerance["max_rel_to_peak"]
    return Row(name, ours.shape, difference, relative, "" if good else "outside the tolerance")
