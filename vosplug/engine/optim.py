"""Optimiser, mixed precision and schedules."""

import copy
import inspect
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from mmengine.optim import build_optim_wrapper as build_from_constructor
from mmengine.registry import OPTIM_WRAPPERS, OPTIMIZERS, PARAM_SCHEDULERS, DefaultScope
from torch import nn

from ..registry import check_numbers
from ..utils.amp import AMP_NAMES, autocast_type
from ..utils.checkpoint import unwrapped
from ..utils.config_check import declare_keys
from ..utils.errors import ConfigError, did_you_mean

BUILDING = ("type", "optimizer", "constructor", "paramwise_cfg", "no_decay")
declare_keys("optim_wrapper", BUILDING, default_type="VOSOptimWrapper")


@OPTIM_WRAPPERS.register_module()
class VOSOptimWrapper(OptimWrapper):
    """mmengine's wrapper (accumulation, clipping) with mixed precision on GPUs and CPUs.

    Args:
        optimizer: the optimiser.
        accumulative_counts: iterations per update; their gradients are averaged.
        clip_grad: as in mmengine, ``dict(max_norm=...)``.
        amp: ``"bf16"``, ``"fp16"`` (GPU only, with dynamic loss scaling), ``"auto"`` (what the
            device computes in) or None.
        loss_scale: first scale of fp16.

    Raises:
        ConfigError: ``amp`` is unknown, or the device cannot compute in that type.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, accumulative_counts: int = 1, clip_grad: dict | None = None,
                 amp: str | None = None, loss_scale: float = 65536.0):
        if isinstance(accumulative_counts, bool) or not isinstance(accumulative_counts, int) or accumulative_counts < 1:
            raise ConfigError("optim_wrapper.accumulative_counts must be a whole number of at least 1, "
                              f"got {accumulative_counts!r}")
        super().__init__(optimizer, accumulative_counts, dict(clip_grad) if clip_grad else None)
        self.device_type = optimizer.param_groups[0]["params"][0].device.type
        self.amp_dtype = amp_type(amp, self.device_type)
        scaled = self.amp_dtype == torch.float16
        self.scaler = torch.amp.GradScaler(self.device_type, init_scale=loss_scale) if scaled else None

    @property
    def has_pending_gradients(self) -> bool:
        """Whether gradients of earlier iterations wait for the update."""
        return not self.should_update()

    def backward(self, loss: torch.Tensor, **kwargs) -> None:
        """Back-propagate ``loss``, scaled for fp16."""
        super().backward(loss if self.scaler is None else self.scaler.scale(loss), **kwargs)

    def step(self, **kwargs) -> None:
        """Clip and update; in fp16 an update with infinite gradients is left out and the scale lowered."""
        if self.scaler is None:
            super().step(**kwargs)
            return
        if self.clip_grad_kwargs:
            self.scaler.unscale_(self.optimizer)
            self._clip_grad()
        self.scaler.step(self.optimizer, **kwargs)
        self.scaler.update()

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Context of the forward pass: autocast, and no synchronisation of gradients before the last accumulation."""
        cast = nullcontext() if self.amp_dtype is None else torch.autocast(self.device_type, self.amp_dtype)
        with super().optim_context(model), cast:
            yield

    def state_dict(self) -> dict:
        """State of the optimiser and of the loss scale."""
        state = super().state_dict()
        if self.scaler is not None:
            state["loss_scaler"] = self.scaler.state_dict()
        return state

    def load_state_dict(self, state_dict: dict) -> None:
        """Restore :meth:`state_dict`; a loss scale is skipped by a run without fp16."""
        state = dict(state_dict)
        scale = state.pop("loss_scaler", None)
        if scale and self.scaler is not None:
            self.scaler.load_state_dict(scale)
        super().load_state_dict(state)


def amp_type(amp: str | None, device_type: str) -> torch.dtype | None:
    """Autocast type of ``amp`` on a device; None for full precision."""
    if amp is not None and amp not in AMP_NAMES:
        raise ConfigError(f"unknown amp {amp!r}.{did_you_mean(str(amp), AMP_NAMES)} Known: {', '.join(AMP_NAMES)}.")
    if amp == "fp16" and device_type == "cpu":
        raise ConfigError("amp fp16 needs a GPU (its gradients need a range that the CPU kernels lack): use amp auto")
    if amp == "bf16" and device_type == "cuda" and not torch.cuda.is_bf16_supported():
        raise ConfigError("this GPU does not compute in bf16: use amp fp16")
    return autocast_type(amp, device_type)


def build_optim_wrapper(model: nn.Module, settings: Mapping[str, Any]) -> OptimWrapper:
    """Build optimiser and wrapper from ``optim_wrapper`` of a config.

    Keys: ``optimizer`` (type of torch, its options), ``accumulative_counts``, ``clip_grad``, ``amp``, ``loss_scale``,
    ``paramwise_cfg`` of mmengine's default constructor (multipliers of learning rate and decay by name), and
    ``no_decay=True``, which takes weight decay off norms, biases and every other vector.

    Raises:
        ConfigError: a type or an option is unknown, or has a wrong value.
    """
    settings = copy.deepcopy(dict(settings))
    settings.setdefault("type", "VOSOptimWrapper")
    if not isinstance(settings.get("optimizer"), Mapping) or "type" not in settings["optimizer"]:
        raise ConfigError("optim_wrapper needs optimizer=dict(type='AdamW', lr=...)")
    _check("optim_wrapper", OPTIM_WRAPPERS, settings["type"], settings, BUILDING)
    _check("optim_wrapper.optimizer", OPTIMIZERS, settings["optimizer"]["type"], settings["optimizer"], ("type",))
    if settings.pop("no_decay", False):
        none = dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0)
        settings["paramwise_cfg"] = {**none, **(settings.get("paramwise_cfg") or {})}
        settings["optimizer"].setdefault("weight_decay", 0.01)
    try:
        with in_mmengine(), silent_about_frozen_weights():
            wrapper = build_from_constructor(unwrapped(model), settings)
    except (TypeError, ValueError, AssertionError, KeyError) as error:
        raise ConfigError(f"optim_wrapper: {error}") from error
    _merge_groups(wrapper.optimizer)
    _tell_of_unused_keys(model, (settings.get("paramwise_cfg") or {}).get("custom_keys") or {})
    return wrapper


def _tell_of_unused_keys(model: nn.Module, keys: Iterable[str]) -> None:
    """Warn of multipliers that no weight gets: misspelt, or of a part that this model lacks."""
    names = [name for name, _ in unwrapped(model).named_parameters()]
    for key in keys:
        if not any(key in name for name in names):
            logging.getLogger("vosplug").warning(
                "optim_wrapper.paramwise_cfg.custom_keys: %r is in the name of no weight, and has no effect", key)


def in_mmengine() -> AbstractContextManager:
    """Context for building parts of which vosplug has no registry of its own; without it mmengine warns."""
    return DefaultScope.overwrite_default_scope("mmengine")


@contextmanager
def silent_about_frozen_weights() -> Iterator[None]:
    """Without this mmengine warns of every weight that is frozen on purpose, one line each."""
    logger = MMLogger.get_current_instance()

    def wanted(record: logging.LogRecord) -> bool:
        return "requires_grad=False" not in record.getMessage()

    logger.addFilter(wanted)
    try:
        yield
    finally:
        logger.removeFilter(wanted)


def _merge_groups(optimizer: torch.optim.Optimizer) -> None:
    """Join parameter groups with equal settings: mmengine makes one per parameter, which makes updates slow."""
    merged: dict[str, dict] = {}
    for group in optimizer.param_groups:
        key = repr(sorted((name, value) for name, value in group.items() if name != "params"))
        if key in merged:
            merged[key]["params"].extend(group["params"])
        else:
            merged[key] = group
    optimizer.param_groups[:] = merged.values()


def build_schedulers(settings: Any, wrapper: OptimWrapper, max_iters: int) -> list:
    """Build ``param_scheduler`` of a config: a list of mmengine's schedulers, counted in iterations.

    ``begin``, ``end`` and ``T_max`` may be fractions of the run (a float in [0, 1]); ``end`` is the end of the run by
    default.

    Raises:
        ConfigError: a type or an option is unknown, or ``by_epoch=True`` is asked for.
    """
    schedulers = []
    for number, given in enumerate([settings] if isinstance(settings, Mapping) else settings or []):
        where = f"param_scheduler {number}"
        if not isinstance(given, Mapping) or "type" not in given:
            raise ConfigError(f"{where} must be a dict with a type, got {given!r}")
        if given.get("by_epoch") or given.get("convert_to_iter_based"):
            raise ConfigError(f"{where}: training counts iterations, not epochs; leave by_epoch out")
        options = {"end": max_iters, **given, "by_epoch": False}
        for key in ("begin", "end", "T_max"):
            if isinstance(options.get(key), float):
                options[key] = _iterations(options[key], max_iters, f"{where}: {key}")
        _check(where, PARAM_SCHEDULERS, options["type"], options, ("type", "by_epoch", "end"))
        try:
            with in_mmengine():
                schedulers.append(PARAM_SCHEDULERS.build(options, default_args=dict(optimizer=wrapper)))
        except (TypeError, ValueError, AssertionError) as error:
            raise ConfigError(f"{where} ({options['type']}): {error}") from error
    return schedulers


def _iterations(fraction: float, max_iters: int, where: str) -> int:
    if not 0 <= fraction <= 1:
        raise ConfigError(f"{where} is a fraction of the run and must lie in [0, 1], got {fraction}; write iterations "
                          "as whole numbers")
    return round(fraction * max_iters)


def _check(where: str, registry: Any, name: Any, options: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
    """Raise :class:`ConfigError` for an unknown type or option."""
    cls = registry.get(name) if isinstance(name, str) else name
    if cls is None:
        raise ConfigError(f"{where}: unknown type {name!r}.{did_you_mean(name, registry.module_dict)}")
    known: dict[str, Any] = {}
    for base in cls.__mro__:  # schedulers of mmengine pass what they do not name on to their bases
        parameters = inspect.signature(base.__init__).parameters if "__init__" in vars(base) else {}
        known.update({key: p for key, p in parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)})
    for key in options:
        if key not in known and key not in allowed:
            names = [key for key in known if key not in ("self", "params")]
            raise ConfigError(f"{where}: {name} has no option {key!r}.{did_you_mean(key, names)}")
    check_numbers(where, known, options)
