"""Which keys a config may have, and checks of a loaded one before anything is built.

Most dicts of a config have a ``type``, whose signature tells its keys. The parts that read the others declare them here
(:func:`declare_keys`) where they are defined.
"""

import inspect
from collections.abc import Collection, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from mmengine import registry as mm

from ..registry import (
    DATASETS,
    HOOKS,
    KINDS,
    LOOPS,
    METRICS,
    MODELS,
    REGISTRIES,
    TRANSFORMS,
    Registry,
    modifiers_of,
)
from .errors import ConfigError, did_you_mean

# Keys at the top level of a config; a test compares them with what the package reads. ``extras`` is the user's own.
TOP_KEYS = (
    "model", "data_root", "work_dir", "default_scope", "custom_imports", "load_from", "seed", "deterministic",
    "cudnn_benchmark", "channels_last", "sync_bn", "find_unused_parameters", "stages", "clip", "curriculum", "task",
    "train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler", "val_dataset", "val_evaluator", "val_cfg",
    "test_dataset", "test_evaluator", "test_session", "default_hooks", "custom_hooks", "vis_backends", "extras",
)
# Keys that mmengine takes out of such a dict before it calls the type.
TAKEN_OUT = {"hook": {"priority"}}
# Section of a config ("*" for any one key) -> keys that something reads there, and the type of its parts without one.
SECTIONS: dict[str, set[str]] = {}
DEFAULT_TYPES: dict[str, str] = {}


def declare_keys(section: str, keys: Iterable[str] = (), *, default_type: str | None = None) -> None:
    """Say which keys are read in a section of configs; called by the part that reads them.

    Args:
        section: dotted, ``"*"`` for any one key: ``"clip"``, ``"curriculum.*"``.
        keys: that are read there.
        default_type: registered type that is built of the section where it names none.
    """
    SECTIONS.setdefault(section, set()).update(keys)
    if default_type is not None:
        DEFAULT_TYPES[section] = default_type


def accepted_keys(parts: list[str], node: Any) -> list[str]:
    """Keys that something reads in the dict ``node`` at ``parts`` of a config; ``"**"`` stands for any.

    Args:
        parts: keys that lead to the dict; empty for the config itself.
        node: the dict, whose ``type`` may be registered anywhere.
    """
    if not parts:
        return list(TOP_KEYS)
    for registry in (MODELS, *REGISTRIES.values()):
        registry.import_from_location()  # the parts that declare keys are imported
    if parts[0] == "stages" and len(parts) > 2:
        parts = parts[2:]
    section = ".".join(parts)
    typed = options_of(node.get("type")) if isinstance(node, Mapping) else []
    if not typed and parts[0] == "model":  # options of what a key of the model's config does to it
        typed = [option for kind in KINDS.values() for option in options_of(kind.modifiers.get(parts[-1]))]
    declared = [key for pattern, keys in SECTIONS.items() if fnmatchcase(section, pattern)
                and pattern.count(".") == section.count(".") for key in sorted(keys)]
    return [*typed, *options_of(DEFAULT_TYPES.get(section)), *declared]


def options_of(kind: Any) -> list[str]:
    """Options of a registered type or of a class; ``"**"`` is among them if it takes any; empty if it is unknown."""
    found = find_type(kind) if isinstance(kind, str) else kind
    if found is None:
        return []
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):
        return []
    return ["**" if item.kind is item.VAR_KEYWORD else item.name for item in parameters] + list(modifiers_of(found))


def known_registries() -> list[Any]:
    """Those of vosplug, and those of mmengine that its parts are built from."""
    roots = (mm.OPTIM_WRAPPERS, mm.OPTIM_WRAPPER_CONSTRUCTORS, mm.OPTIMIZERS, mm.PARAM_SCHEDULERS, mm.VISUALIZERS,
             mm.VISBACKENDS, mm.EVALUATOR, mm.LOG_PROCESSORS, mm.MODEL_WRAPPERS, mm.FUNCTIONS, mm.WEIGHT_INITIALIZERS)
    return [MODELS, *REGISTRIES.values(), *roots]


def find_type(name: str) -> Any:
    """The class or function registered as ``name`` in any registry, or None."""
    for registry in known_registries():
        try:
            found = registry.get(name)
        except RuntimeError:  # a dotted name that cannot be imported
            found = None
        if found is not None:
            return found
    return None


def check_config(cfg: Any, where: str = "config", variables: Collection[str] = (), foreign: bool = False) -> None:
    """Check the types and options of data sets, transforms, samplers, metrics, hooks and loops of ``cfg``.

    Args:
        cfg: the config.
        where: its name, for messages.
        variables: names that the config files themselves read.
        foreign: it inherits from a config of another package, which has keys of its own.

    Raises:
        ConfigError: nothing reads a key; a type is unknown or does not take an option. The message names the key.
    """
    _check_top_keys(cfg, where, variables, foreign)
    for key, value, registry in _sections(cfg):
        taken = TAKEN_OUT.get(registry.name, set())
        try:
            registry.check_known({name: item for name, item in value.items() if name not in taken})
        except ConfigError as error:
            raise ConfigError(f"{where}, {key}: {error}") from error


def _check_top_keys(cfg: Any, where: str, variables: Collection[str], foreign: bool) -> None:
    """Raise for a key that nothing reads."""
    for key in cfg.keys():  # noqa: SIM118 (a Config is no dict)
        if key not in TOP_KEYS and key not in variables:
            similar = did_you_mean(key, [name for name in TOP_KEYS if name not in cfg])
            if similar or not foreign:
                remedy = similar or " Take it out, or put what is your own into extras=dict(...)."
                raise ConfigError(f"{where}: nothing reads the key {key!r}.{remedy}")


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
    yield from _typed("task", cfg.get("task"), MODELS)
    for split in ("train", "val"):
        yield from _typed(f"{split}_cfg", cfg.get(f"{split}_cfg"), LOOPS)
    hooks = cfg.get("default_hooks")
    for key, hook in hooks.items() if isinstance(hooks, dict) else ():
        if isinstance(hook, dict):
            yield from _typed(f"default_hooks.{key}", {**_default_type(key), **hook}, HOOKS)
    yield from _typed("custom_hooks", cfg.get("custom_hooks"), HOOKS)


def _default_type(hook: str) -> dict:
    HOOKS.import_from_location()
    name = DEFAULT_TYPES.get(f"default_hooks.{hook}")
    return {} if name is None else {"type": name}


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
