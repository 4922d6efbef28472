"""Keeps parts of a model from loading files unsafely.

mmengine lets every module name a checkpoint in ``init_cfg``, and its loader unpickles a file that torch refuses to read
safely, which runs whatever code the file contains. Parts of mmdet can do the same by options of their own.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .errors import ConfigError

REMEDY = ("would unpickle a file, which can run code: use load_from of the config for a whole model, or weights= of a "
          "backbone")

_lock = threading.Lock()
_users = 0
_original: Any = None


def loads_a_file(init_cfg: Any) -> bool:
    """Whether an ``init_cfg`` of mmengine (a dict, or a list of dicts) takes weights from a checkpoint."""
    if isinstance(init_cfg, (list, tuple)):
        return any(map(loads_a_file, init_cfg))
    if not isinstance(init_cfg, Mapping):
        return False
    name = init_cfg.get("type")
    name = name if isinstance(name, str) else getattr(name, "__name__", "")
    named = name.rpartition(".")[2] in ("Pretrained", "PretrainedInit")
    return named or "checkpoint" in init_cfg or loads_a_file(init_cfg.get("override"))


def refuse_files_in_config(cfg: Any, where: str = "") -> None:
    """Raise :class:`ConfigError` if an ``init_cfg`` at any depth of the config of a part takes weights from a file."""
    if isinstance(cfg, (list, tuple)):
        items = enumerate(cfg)
    else:
        items = cfg.items() if isinstance(cfg, Mapping) else ()
    for key, value in items:
        place = f"{where}.{key}" if where else str(key)
        if key == "init_cfg" and loads_a_file(value):
            raise ConfigError(f"{place} of type 'Pretrained' {REMEDY}")
        refuse_files_in_config(value, place)


def refuse_files_in_model(part: Any) -> None:
    """Raise :class:`ConfigError` if a module of ``part`` has such an ``init_cfg``, from wherever it got it."""
    modules = part.named_modules() if hasattr(part, "named_modules") else ()
    for name, module in modules:
        if loads_a_file(getattr(module, "init_cfg", None)):
            inside = f" ({name} of {type(part).__name__})" if name else ""
            raise ConfigError(f"{type(module).__name__}{inside}: init_cfg of type 'Pretrained', or an option that "
                              f"stands for it, {REMEDY}")


@contextmanager
def safe_loading() -> Iterator[None]:
    """Within, mmengine's loader of checkpoints reads as vosplug's own does, for all threads."""
    from mmengine.runner.checkpoint import CheckpointLoader  # here, as it takes long to import

    global _users, _original
    with _lock:
        _users += 1
        if _users == 1:
            _original = CheckpointLoader.__dict__["load_checkpoint"]
            CheckpointLoader.load_checkpoint = staticmethod(_load_safely)
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                CheckpointLoader.load_checkpoint, _original = _original, None


def _load_safely(filename: str, map_location: Any = None, logger: Any = "current") -> dict:
    """Stands for ``CheckpointLoader.load_checkpoint``, whose signature it has."""
    from .checkpoint import load_checkpoint_file

    return load_checkpoint_file(filename, map_location or "cpu")
