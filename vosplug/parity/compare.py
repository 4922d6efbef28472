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
    """Compare a tensor. Integers have to be identical; real numbers need either bound of the tolerance.

    Args:
        name: of the tensor.
        ours: what was computed, None if nothing was.
        stored: what is expected.
        tolerance: ``max_abs`` and ``max_rel_to_peak`` for real numbers. ``share`` of the elements of ``label*``, and of
            the ``masks*`` that jump with them, may be beyond. ``mean`` gives bounds of the mean difference by name.
    """
    if ours is None:
        return Row(name, None, np.nan, np.nan, "not computed")
    ours = np.asarray(ours)
    if ours.shape != stored.shape:
        return Row(name, ours.shape, np.nan, np.nan, f"shape {ours.shape}, expected {stored.shape}")
    share = tolerance.get("share", 0) if name.startswith(("label", "masks")) else 0
    if name in tolerance.get("mean", {}):
        return _compare_means(name, ours, stored, tolerance["mean"][name])
    if stored.dtype.kind in "iub":
        differing = int((ours != stored).sum())
        return Row(name, ours.shape, differing, differing / max(1, stored.size),
                   f"{differing} of {stored.size} elements differ" if differing > share * stored.size else "")
    if not np.isfinite(ours).all():
        return Row(name, ours.shape, np.nan, np.nan, "has values that are not finite")
    differences = np.abs(ours.astype(np.float64) - stored.astype(np.float64))
    difference, peak = float(differences.max(initial=0)), max(float(np.abs(stored).max(initial=0)), 1e-300)
    bound = max(tolerance["max_abs"], tolerance["max_rel_to_peak"] * peak)
    good = np.isfinite(stored).all() and (~(differences <= bound)).sum() <= share * stored.size
    return Row(name, ours.shape, difference, difference / peak, "" if good else "outside the tolerance")


def _compare_means(name: str, ours: np.ndarray, stored: np.ndarray, bound: float) -> Row:
    differences = np.abs(ours.astype(np.float64) - stored.astype(np.float64))
    mean, peak = float(differences.mean()), max(float(np.abs(stored).max(initial=0)), 1e-300)
    fault = "" if mean < bound else f"differs by {mean:.2g} on average, allowed are {bound:g}"
    return Row(name, ours.shape, float(differences.max(initial=0)), mean / peak, fault)
