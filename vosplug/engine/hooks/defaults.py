"""The hooks of every training, by name."""

from collections.abc import Mapping
from typing import Any

from ...utils.config_check import declare_keys
from ...utils.errors import ConfigError, did_you_mean

DEFAULT_HOOKS: dict[str, dict | None] = dict(
    finite=dict(type="FiniteLossHook"),
    runtime_info=dict(type="RuntimeInfoHook"),
    curriculum=dict(type="ClipCurriculumHook"),
    progress=dict(type="ProgressHook"),
    ema=None,
    logger=dict(type="ConsoleHook"),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="CheckpointHook"),
)
HOOK_TYPES = {name: hook["type"] for name, hook in DEFAULT_HOOKS.items() if hook} | {"ema": "EMAHook"}
declare_keys("default_hooks", HOOK_TYPES)
for _name, _type in HOOK_TYPES.items():
    declare_keys(f"default_hooks.{_name}", ("type", "priority"), default_type=_type)


def choose_hooks(changes: Mapping[str, Any] | None) -> list[dict]:
    """Configs of ``DEFAULT_HOOKS`` with ``changes``: options by name, None leaves a hook out, a ``type`` replaces it.

    Raises:
        ConfigError: a name is unknown and no type is given with it.
    """
    chosen = dict(DEFAULT_HOOKS)
    for name, options in (changes or {}).items():
        if options is None:
            chosen[name] = None
            continue
        typed = isinstance(options, Mapping) and "type" in options
        if not isinstance(options, Mapping) or (name not in chosen and not typed):
            raise ConfigError(f"default_hooks has no {name!r}.{did_you_mean(name, chosen)} Known: {', '.join(chosen)}; "
                              "each takes a dict of options or None, other hooks need a type")
        kept = {} if typed else chosen[name] or {"type": HOOK_TYPES[name]}
        chosen[name] = {**kept, **options}
    return [hook for hook in chosen.values() if hook is not None]
