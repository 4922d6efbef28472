"""The compiled extension: found, loaded once, and named; without it the operators run as PyTorch code."""

import functools
import logging
import os
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
        "(to build them: pip install 'setuptools<81' wheel ninja && pip install --no-build-isolation -e . in a clone)",
        problem,
    )
    return False


@functools.cache
def isa() -> str | None:
    """Return the instruction set that the compiled operators use on this processor, or None without the extension."""
    return _ISA[torch.ops.vosplug_cpu.conv_isa()] if has_extension() else None


@functools.cache
def has_cuda_kernels() -> bool:
    """Return whether the extension was built with the CUDA kernels."""
    return has_extension() and hasattr(torch.ops.vosplug_cuda, "attention_blocks")


def uses_cuda_kernels() -> bool:
    """Return whether CUDA tensors go to the CUDA kernels: they are built, and ``VOSPLUG_CUDA_KERNELS=1`` asks for them.

    They have not run on a GPU yet (docs/ops.md), so nobody gets them unasked.
    """
    return os.environ.get("VOSPLUG_CUDA_KERNELS") == "1" and has_cuda_kernels()


@functools.cache
def has_dense_kernels(dtype: torch.dtype) -> bool:
    """Return whether oneDNN computes convolutions of this type on this CPU, rather than emulating or refusing them."""
    if dtype == torch.bfloat16:
        return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    if dtype == torch.float16:
        return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_fp16_supported()
    return True


def no_second_derivative(backward_op, name: str) -> None:
    """Make differentiating ``backward_op``, the custom operator of a backward pass, say that it cannot be done."""

    def backward(ctx, *grads):
        raise NotImplementedError(
            f"{name} has no second derivative: differentiate it once, or use its reference in vosplug.ops"
        )

    backward_op.register_autograd(backward)
