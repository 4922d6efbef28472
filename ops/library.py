"""The compiled extension: found, loaded once, and named; without it the operators run as PyTorch code."""

import functools
import logging
from pathlib import Path

import torch

_ISA = ("generic", "avx2", "avx512", "avx512_bf16")


@functools.cache
def has_extension() -> bool:
    """Return whether the compiled operators are loaded; the first call loads them or logs, once, that they lack."""
    folder = Path(__file__).resolve().parent
    problem = "no compiled extension in the installed package"
    for path in sorted(folder.glob("_C*.so")):
        try:
            torch.ops.load_library(str(path))
            return True
        except (OSError, RuntimeError) as error:  # noqa: PERF203
            problem = f"{path.name} cannot be loaded: {str(error).splitlines()[0]}"
    logging.getLogger("vosplug").warning(
        "vosplug.ops: %s; the operators run as PyTorch code, slower but with the same results "
        "(to build them: python ops/build.py in a clone, or pip install --no-build-isolation .)",
        problem,
    )
    return False


@functools.cache
def isa() -> str | None:
    """Return the instruction set that the compiled operators use on this processor, or None without the extension."""
    return _ISA[torch.ops.vosplug_cpu.conv_isa()] if has_extension() else None
