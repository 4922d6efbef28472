"""Stages of a network as compiled graphs, by ``torch.compile``."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..utils.errors import InputError, did_you_mean
from .backbones.sparse_convs.base import SparseConv

COMPILERS = {
    "default": {},
    "reduce-overhead": {"mode": "reduce-overhead"},
    "max-autotune": {"mode": "max-autotune"},
    "eager": {"backend": "eager"},
    "aot_eager": {"backend": "aot_eager"},
}
"""Name -> options of ``torch.compile``; the last two generate no code, and are for looking at graphs."""
SHARE_BUFFERS = {"reduce-overhead", "max-autotune"}
"""Compilers that record graphs of CUDA."""

_stages: ContextVar["CompiledStages | None"] = ContextVar("compiled_stages", default=None)


class CompiledStages:
    """Stages that are compiled when they first run, and again where a shape is new.

    A graph of CUDA writes its results where those of its last run were. What a stage gives, and what it leaves in the
    features that it was given, is copied, so that memories may keep it.

    Args:
        compiler: one of ``COMPILERS``.
        model: whose stages these are.

    Raises:
        InputError: there is no such compiler, or the model cannot be compiled.
    """

    def __init__(self, compiler: str, model: nn.Module):
        if compiler not in COMPILERS:
            raise InputError(f"compile must be one of {', '.join(COMPILERS)}, got {compiler!r}."
                             f"{did_you_mean(str(compiler), COMPILERS)}")
        if any(isinstance(layer, SparseConv) for layer in model.modules()):
            raise InputError(f"compile={compiler!r}: sparse convolutions decide at every frame where they compute, "
                             "which no compiled graph can; leave compile out for this model")
        self.compiler = compiler
        self.options = COMPILERS[compiler]
        self.shares_buffers = compiler in SHARE_BUFFERS
        self._forms: dict[tuple[int, str], Callable] = {}

    def of(self, method: Callable) -> Callable:
        """The compiled form of a method of the model."""
        key = (id(method.__self__), method.__name__)
        if key not in self._forms:
            self._forms[key] = self.compiled(method)
        return self._forms[key]

    def compiled(self, method: Callable) -> Callable:
        """``method``, compiled; a compiler that fails is one line."""
        graph = torch.compile(method, **self.options)

        def run(*args: Any) -> Any:
            try:
                return with_own_results(graph, args) if self.shares_buffers else graph(*args)
            except torch._dynamo.exc.BackendCompilerFailed as error:
                reason = str(error.inner_exception).strip().splitlines()[0]
                raise InputError(f"compile={self.compiler!r}: {method.__name__} cannot be compiled here: {reason}; "
                                 "install a C++ compiler, or leave compile out") from error
        return run


@contextmanager
def compiled_inference(stages: CompiledStages | None) -> Iterator[None]:
    """Inside, :func:`stage` gives compiled forms; None: methods as they are written."""
    token = _stages.set(stages)
    try:
        yield
    finally:
        _stages.reset(token)


def stage(method: Callable) -> Callable:
    """A method of a model in the form in which it is to run here."""
    stages = _stages.get()
    return method if stages is None else stages.of(method)


def with_own_results(graph: Callable, args: tuple) -> Any:
    """Run a graph whose results its next run overwrites; what it gives and leaves in ``args`` is copied."""
    known = {id(tensor) for tensor in tensors_of(args)}
    torch.compiler.cudagraph_mark_step_begin()
    return owned((args, graph(*args)), known)[1]


def tensors_of(value: Any) -> Iterable[Tensor]:
    """All tensors in nested tuples, lists, dictionaries and dataclasses."""
    if isinstance(value, Tensor):
        yield value
    for part in _parts(value):
        yield from tensors_of(part)


def owned(value: Any, known: set[int]) -> Any:
    """Replace tensors by copies, but for those with an id in ``known``; in place where their holder can be changed."""
    if isinstance(value, Tensor):
        return value if id(value) in known else value.clone()
    if isinstance(value, tuple):
        return tuple(owned(part, known) for part in value)
    if isinstance(value, list):
        value[:] = [owned(part, known) for part in value]
    elif isinstance(value, dict):
        value.update({key: owned(part, known) for key, part in value.items()})
    elif _is_record(value):
        old = {field.name: getattr(value, field.name) for field in fields(value) if field.init}
        new = {name: made for name, part in old.items() if (made := owned(part, known)) is not part}
        if new and value.__dataclass_params__.frozen:
            return replace(value, **new)
        for name, made in new.items():
            setattr(value, name, made)
    return value


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, (tuple, list)):
        return value
    if isinstance(value, dict):
        return value.values()
    return [getattr(value, field.name) for field in fields(value)] if _is_record(value) else ()


def _is_record(value: Any) -> bool:
    return is_dataclass(value) and not isinstance(value, type)
