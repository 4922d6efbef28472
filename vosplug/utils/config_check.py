"""Checks of a loaded config before anything is built: what mmengine's Runner builds itself has clear errors too."""

from collections.abc import Iterator
from typing import Any

from mmengine import registry as mm

from ..registry import DATA_SAMPLERS, DATASETS, HOOKS, LOOPS, METRICS, MODELS, REGISTRIES, TRANSFORMS, Registry
from .errors import ConfigError

# Keys that mmengine takes out of such a dict before it calls the type.
TAKEN_OUT = {"hook": {"priority"}}


def find_type(name: str) -> Any:
    """The class or function registered as ``name`` in any registry, or None."""
    roots = (mm.OPTIM_WRAPPERS, mm.OPTIMIZERS, mm.PARAM_SCHEDULERS, mm.VISUALIZERS, mm.VISBACKENDS, mm.EVALUATOR,
             mm.LOG_PROCESSORS, mm.MODEL_WRAPPERS, mm.FUNCTIONS, mm.WEIGHT_INITIALIZERS)
    for registry in (MODELS, *REGISTRIES.values(), *roots):
        try:
            found = registry.get(name)
        except RuntimeError:  # a dotted name that cannot be imported
            found = None
        if found is not None:
            return found
    return None


def check_config(cfg: Any, where: str = "config") -> None:
    """Check the types and options of data sets, transforms, samplers, metrics, hooks and loops of ``cfg``.

    Raises:
        ConfigError: a type is unknown or does not take an option; the message names the key in the config.
    """
    for key, value, registry in _sections(cfg):
        taken = TAKEN_OUT.get(registry.name, set())
        try:
            registry.check_known({name: item for name, item in value.items() if name not in taken})
        except ConfigError as error:
            raise ConfigError(f"{where}, {key}: {error}") from error


def _sections(cfg: Any) -> Iterator[tuple[str, dict, Registry]]:
    """All dicts with a ``type`` that the Runner builds, with their key and the registry they are built from."""
    for split in ("train", "val", "test"):
        loader = cfg.get(f"{split}_dataloader") or {}
        for part, registry in (("dataset", DATASETS), ("sampler", DATA_SAMPLERS), ("batch_sampler", DATA_SAMPLERS)):
            yield from _typed(f"{split}_dataloader.{part}", loader.get(part), registry)
        evaluator = cfg.get(f"{split}_evaluator")
        if isinstance(evaluator, dict) and "metrics" in evaluator:  # an evaluator, not a metric
            yield from _typed(f"{split}_evaluator.metrics", evaluator["metrics"], METRICS)
        else:
            yield from _typed(f"{split}_evaluator", evaluator, METRICS)
        yield from _typed(f"{split}_cfg", cfg.get(f"{split}_cfg"), LOOPS)
    for key, hook in (cfg.get("default_hooks") or {}).items():
        yield from _typed(f"default_hooks.{key}", hook, HOOKS)
    yield from _typed("custom_hooks", cfg.get("custom_hooks"), HOOKS)


def _typed(key: str, value: Any, registry: Registry) -> Iterator[tuple[str, dict, Registry]]:
    if isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _typed(f"{key}.{index}", item, registry)
    elif isinstance(value, dict):
        if isinstance(value.get("type"), str):
            yield key, value, registry
        if registry is DATASETS:
            yield from _typed(f"{key}.pipeline", value.get("pipeline"), TRANSFORMS)
            for below in ("dataset", "datasets"):
                yield from _typed(f"{key}.{below}", value.get(below), DATASETS)
        elif registry is TRANSFORMS:
            yield from _typed(f"{key}.transforms", value.get("transforms"), TRANSFORMS)
