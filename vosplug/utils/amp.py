"""Mixed precision: the types there are, and which of them a device computes in."""

import functools
import logging

import torch

from ..ops.library import has_dense_kernels

AMP_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
AUTO = "auto"
AMP_NAMES = (*AMP_TYPES, AUTO)


def autocast_type(amp: str | None, device: torch.device | str) -> torch.dtype | None:
    """Autocast type of ``amp`` (one of :data:`AMP_NAMES`, or None) on a device; None for full precision.

    ``auto`` is bf16 where the device computes in it; else fp16 on a GPU, and full precision on a CPU, whose emulation
    of bf16 takes many times as long as float32. A type that was asked for by name is used; the log tells of emulation.
    """
    kind = torch.device(device).type
    if amp == AUTO:
        amp = "bf16" if computes_bf16(kind) else "fp16" if kind == "cuda" else None
    elif amp == "bf16" and kind == "cpu" and not computes_bf16("cpu"):
        _tell_of_emulation()
    return None if amp is None else AMP_TYPES[amp]


def computes_bf16(kind: str) -> bool:
    """Whether devices of this type have instructions for bf16, and torch uses them; False where that is not known."""
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return kind == "cpu" and has_dense_kernels(torch.bfloat16)


@functools.cache
def _tell_of_emulation() -> None:
    logging.getLogger("vosplug").warning(
        "amp bf16: this CPU has no bf16 instructions, and emulates them much slower than float32; amp auto chooses")
