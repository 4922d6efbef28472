"""Checks of a loaded config before anything is built: what mmengine's Runner builds itself has clear errors too."""

from collections.abc import Collection, Iterator
from typing import Any

from mmengine import registry as mm

from ..registry import DATASETS, HOOKS, LOOPS, METRICS, MODELS, REGISTRIES, TRANSFORMS, Registry
from .config_keys import TOP_KEYS
from .errors import ConfigError, did_you_mean

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


def check_config(cfg: Any, where: str = "config", variables: Collection[str] = ()) -> None:
    """Check the types and options of data sets, transforms, samplers, metrics, hooks and loops of ``cfg``.

    Args:
        cfg: the config.
        where: its name, for messages.
        variables: names that the config files themselves read.

    Raises:
        ConfigError: a type is unknown or does not take an option; the message names the key in the config.
    """
    _check_top_keys(cfg, where, variables)
    for key, value, registry in _sections(cfg):
        taken = TAKEN_OUT.get(registry.name, set())
        try:
            registry.check_known({name: item for name, item in value.items() if name not in taken})
        except ConfigError as error:
            raise ConfigError(f"{where}, {key}: {error}") from error


def _check_top_keys(cfg: Any, where: str, variables: Collection[str]) -> None:
    """Raise for a key that nothing reads but that looks like one that something does."""
    for key in cfg.keys():  # noqa: SIM118 (a Config is no dict)
        if key not in TOP_KEYS and key not in variables:
            similar = did_you_mean(key, [name for name in TOP_KEYS if name not in cfg])
            if similar:
                raise ConfigError(f"{where}: nothing reads the key {key!r}.{similar}")


def _sections(cfg: Any) -> Iterator[tuple[str, dict, Registry]]:
    """All dicts with a ``type`` that the Runner builds, with their key and the registry they are built from."""
    for index, stage in enumerate(cfg.get("stages") or ()):
        if isinstance(stage, dict):
            yield from ((f"stages.{index}.{key}", value, registry) for key, value, registry in _sections(stage))
    loader = cfg.get("train_dataloader")
    if isinstance(loader, dict):
        yield from _typed("train_dataloader.dataset", loader.get("dataset"), DATASETS)
    for split in ("val", "test"):
        yield from _typed(f"{split}_dataset", cfg.get(f"{split}_dataset"), DATASETS)
        yield from _typed(f"{split}_evaluator", cfg.get(f"{split}_evaluator"), METRICS)
    for split in ("train", "val"):
        yield from _typed(f"{split}_cfg", cfg.get(f"{split}_cfg"), LOOPS)
    hooks = cfg.get("default_hooks")
    for key, hook in hooks.items() if isinstance(hooks, dict) else ():
        if isinstance(hook, dict):
            yield from _typed(f"default_hooks.{key}", {**_default_type(key), **hook}, HOOKS)
    yield from _typed("custom_hooks", cfg.get("custom_hooks"), HOOKS)


def _default_type(hook: str) -> dict:
    from ..engine.hooks.defaults import HOOK_TYPES  # here, as the engine itself reads configs

    return {"type": HOOK_TYPES[hook]} if hook in HOOK_TYPES else {}


def _typed(key: str, value: Any, registry: Registry) -> Iterator[tuple[str, dict, Registry]]:
    if isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _typed(f"{key}.{index}", item, registry)
    elif isinstance(value, dict):
        if isinstance(value.get("type"), str):
            yield key, value, registry
        if registry is DATASETS:
            yield from _typed(f"{key}.transforms", value.get("transforms"), TRANSFORMS)
            for below in ("dataset", "datasets", "videos"):
                yield from _typed(f"{key}.{below}", value.get(below), DATASETS)
        elif registry is TRANSFORMS:
            yield from _typed(f"{key}.transforms", value.get("transforms"), TRANSFORMS)
