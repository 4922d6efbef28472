"""Rules of a reuse gate on plain tensors: which rows are reused, and what training compares."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...utils.errors import ConfigError, did_you_mean

MODES = ("translate", "copy", "fusion")
ON_MEMORY_FRAME = ("reuse", "full")


def mask_ious(a: Tensor, b: Tensor) -> Tensor:
    """(R,) IoU of masks (R, 1, H, W) of 0 and 1; nan where both are empty."""
    union = torch.maximum(a, b).flatten(1).sum(dim=1)
    return (a * b).flatten(1).sum(dim=1) / union


def kept_where(hard: Tensor, kept: Tensor, new: Tensor, places: Tensor) -> Tensor:
    """``new`` (R, ...) with ``kept`` (R', ...) at those of ``places`` (R',) where ``hard`` (R',) is true."""
    chosen = torch.where(hard[:, None, None, None], kept.to(new), new[places])
    return new.index_copy(0, places, chosen)


def above(probability: Tensor, tau: float) -> Tensor:
    """(R,) bool: what is reused at ``tau``; with 1 nothing and with 0 everything, whatever a probability rounds to."""
    if tau >= 1 or tau <= 0:
        return torch.full(probability.shape, tau <= 0)
    return probability > tau


def check_decisions(tau: float | Sequence[float], mode: str, tau_copy: float | None, max_reuse: int | None,
                    on_memory_frame: str) -> None:
    """Raise :class:`ConfigError` for options of :class:`ReuseGated` that make no sense."""
    values = list(tau) if isinstance(tau, Sequence) and not isinstance(tau, str) else [tau]
    if not values or not all(isinstance(value, (int, float)) and 0 <= value <= 1 for value in values):
        raise ConfigError(f"ReuseGated.tau must lie in 0..1, or be a list of such numbers, got {tau!r}")
    for name, value, known in (("mode", mode, MODES), ("on_memory_frame", on_memory_frame, ON_MEMORY_FRAME)):
        if value not in known:
            raise ConfigError(f"ReuseGated.{name} must be one of {', '.join(known)}, got {value!r}."
                              f"{did_you_mean(value, known)}")
    if (mode == "fusion") != (tau_copy is not None):
        raise ConfigError("ReuseGated.tau_copy belongs to mode='fusion', which needs it: got "
                          f"mode={mode!r}, tau_copy={tau_copy!r}")
    if tau_copy is not None and not max(values) < tau_copy <= 1:
        raise ConfigError(f"ReuseGated.tau_copy must be above tau ({max(values)}) and at most 1, got {tau_copy}")
    if max_reuse is not None and (not isinstance(max_reuse, int) or max_reuse < 1):
        raise ConfigError(f"ReuseGated.max_reuse must be a whole number of at least 1 or None, got {max_reuse!r}")
