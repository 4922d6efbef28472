"""Keys of a config that something reads, where no ``type`` tells them."""

import inspect
from collections.abc import Mapping
from typing import Any

from ..registry import KINDS, modifiers_of

# Keys at the top level of a config; a test compares them with what the package reads.
TOP_KEYS = (
    "model", "data_root", "work_dir", "default_scope", "custom_imports", "load_from", "seed", "deterministic",
    "cudnn_benchmark", "channels_last", "sync_bn", "find_unused_parameters", "stages", "clip", "curriculum",
    "train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler", "val_dataset", "val_evaluator", "val_cfg",
    "test_dataset", "test_evaluator", "test_session", "default_hooks", "custom_hooks", "vis_backends",
)
PHASE_KEYS = ("begin", "max_skip", "length", "batch_size", "weights")


def accepted_keys(parts: list[str], node: Any) -> list[str]:
    """Keys that something reads in the dict ``node`` at ``parts`` of a config; ``"**"`` stands for any.

    Args:
        parts: keys that lead to the dict; empty for the config itself.
        node: the dict, whose ``type`` may be registered anywhere.
    """
    if not parts:
        return list(TOP_KEYS)
    typed = options_of(node.get("type")) if isinstance(node, Mapping) else []
    if not typed and parts[0] == "model":  # options of what a key of the model's config does to it
        typed = [option for kind in KINDS.values() for option in options_of(kind.modifiers.get(parts[-1]))]
    return [*typed, *_section_keys(parts)]


def _section_keys(parts: list[str]) -> list[str]:
    from ..engine.data import CLIP_KEYS, LOADER_KEYS  # here, as these packages import torch and read configs themselves
    from ..engine.hooks.defaults import HOOK_TYPES
    from ..engine.optim import BUILDING
    from ..engine.stages import STAGE_KEYS
    from ..inference.session import VOSSession
    from ..inference.vis_session import VISSession

    if parts[0] == "stages" and len(parts) >= 2:
        parts = parts[2:]
        if not parts:
            return list(STAGE_KEYS)
    match parts:
        case ["train_dataloader"]:
            return list(LOADER_KEYS)
        case ["clip"] | ["train_dataloader", "clip"]:
            return list(CLIP_KEYS)
        case ["curriculum", _]:
            return list(PHASE_KEYS)
        case ["train_cfg"]:
            return options_of("ClipTrainLoop")
        case ["val_cfg"]:
            return options_of("VideoValLoop")
        case ["optim_wrapper"]:
            return [*options_of("VOSOptimWrapper"), *BUILDING]
        case ["default_hooks"]:
            return list(HOOK_TYPES)
        case ["default_hooks", name]:
            return [*options_of(HOOK_TYPES.get(name)), "type", "priority"]
        case ["test_session"]:
            return [*options_of(VOSSession), *options_of(VISSession)]
    return []


def options_of(kind: Any) -> list[str]:
    """Options of a registered type or of a class; ``"**"`` is among them if it takes any; empty if it is unknown."""
    from .config_check import find_type  # here, as it imports the registries

    found = find_type(kind) if isinstance(kind, str) else kind
    if found is None:
        return []
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):
        return []
    return ["**" if item.kind is item.VAR_KEYWORD else item.name for item in parameters] + list(modifiers_of(found))
