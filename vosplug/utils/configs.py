"""Finding and loading config files; every fault of one becomes a line that names the file and the line."""

import ast
import os
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

from ..registry import SCOPE, load_entry_point_plugins, load_plugin
from .config_check import TOP_KEYS, check_config, known_registries
from .config_options import apply_options, set_data_root
from .data_configs import NORMS, check_data_file, check_types, is_data
from .errors import ConfigError, did_you_mean

SUFFIXES = (".py", ".json", ".yaml", ".yml")
PACKAGE = Path(__file__).resolve().parent.parent


def config_folders() -> list[Path]:
    """Folders that names of configs are looked up in: ``configs/`` of a clone, ``vosplug/configs`` of an install."""
    clone = PACKAGE.parent
    folders = [clone / "configs"] if (clone / "setup.py").is_file() else []
    return [folder for folder in (*folders, PACKAGE / "configs") if folder.is_dir()]


def list_configs() -> dict[str, Path]:
    """Configs that come with vosplug: name (relative to the folder, without ``.py``) to path; no ``_base_`` parts."""
    found = {}
    for folder in reversed(config_folders()):
        for path in sorted(folder.rglob("*.py")):
            name = path.relative_to(folder).with_suffix("").as_posix()
            if not any(part.startswith(("_base_", "__")) for part in name.split("/")):
                found[name] = path
    return dict(sorted(found.items()))


def find_config(name_or_path: str | os.PathLike) -> Path:
    """Return the absolute path of a config: a file, or the name of one that comes with vosplug (``stcn_small``).

    Raises:
        ConfigError: there is no such file or name; the message suggests the closest name.
    """
    text = os.fspath(name_or_path)
    path = Path(text).expanduser()
    if path.is_file():
        if path.suffix not in SUFFIXES:
            raise ConfigError(f"{text} is not a config file: expected a name ending in {', '.join(SUFFIXES)}")
        return path.resolve()
    known = list_configs()
    name = text.removeprefix("./").removeprefix("configs/").removesuffix(".py")
    if name in known:
        return known[name]
    listed = ", ".join(known) if known else "none come with this installation"
    raise ConfigError(f"config {text!r} not found: give the path of a file or the name of a config of vosplug."
                      f"{did_you_mean(name, known)} Known: {listed}.")


def load_config(path: str | os.PathLike, *, cfg_options: dict[str, Any] | None = None, plugins: Sequence[str] = (),
                data_root: str | None = None, work_dir: str | None = None) -> Config:
    """Load a config as every command does.

    Plugins are imported first (installed ones, then ``plugins``, then ``custom_imports`` of the config), so that
    their types are known when the options are checked.

    Args:
        path: a file, or the name of a config of vosplug (see :func:`find_config`).
        cfg_options: ``{"dotted.key": value}``; keys that nothing would read are refused.
        plugins: files or module names to import.
        data_root: replaces the variable ``data_root`` of the config wherever it was used.
        work_dir: folder of logs and checkpoints; by default that of the config, or ``work_dirs/NAME``.

    Raises:
        ConfigError: the file, a plugin, an option or a registered type is wrong.
    """
    path = find_config(path)
    if is_data(path):
        check_data_file(path, config_folders())
    parsed = list(_parse_tree(path))
    cfg = _execute(path)
    load_entry_point_plugins()
    for plugin in plugins:
        load_plugin(plugin)
    if is_data(path):
        check_types(cfg.to_dict(), path.name, known_registries(), NORMS)
    _import_custom(cfg, path)
    options = dict(cfg_options or {})
    if "data_root" in options:
        data_root = options.pop("data_root") if data_root is None else data_root
    if data_root is not None:
        set_data_root(cfg, data_root)
    variables = _names_read(parsed)
    apply_options(cfg, options, variables=variables)
    cfg.setdefault("default_scope", SCOPE)
    if work_dir is not None:
        cfg.work_dir = work_dir
    else:
        cfg.setdefault("work_dir", f"work_dirs/{path.stem}")
    foreign = any("::" in base for tree in parsed for _, base in _bases(tree))
    check_config(cfg, where=path.name, variables=variables, foreign=foreign)
    for name in variables - set(TOP_KEYS):  # they have been put where they were read: a saved config needs them no more
        cfg.pop(name, None)
    return cfg


def _parse_tree(path: Path) -> Iterator[ast.Module]:
    """Parse a Python config and, recursively, its ``_base_`` files; raise for what cannot be read or parsed."""
    if path.suffix != ".py":
        return
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    except SyntaxError as error:
        raise ConfigError(f"{path}, line {error.lineno}: not valid Python: {error.msg}") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the config {path}: {error}") from error
    yield tree
    for line, base in _bases(tree):
        if "::" in base:  # a config of another package, which mmengine looks up
            continue
        base_path = (path.parent / base).resolve()
        if not base_path.is_file():
            raise ConfigError(f"{path}, line {line}: {base!r} of _base_ does not exist (looked at {base_path})")
        yield from _parse_tree(base_path)


def _bases(tree: ast.Module) -> list[tuple[int, str]]:
    """Line and text of each literal entry of ``_base_``."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "_base_":
            return [(item.lineno, item.value) for item in ast.walk(node.value)
                    if isinstance(item, ast.Constant) and isinstance(item.value, str)]
    return []


def _names_read(trees: Sequence[ast.Module]) -> set[str]:
    """Names of variables that the config files read: overriding one afterwards would not reach where it was used."""
    names = set()
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "_base_":
            names.add(node.attr)
    return names


def _execute(path: Path) -> Config:
    try:
        return Config.fromfile(str(path), import_custom_modules=False)
    except Exception as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__)
                  if frame.filename.endswith(".py") and _is_config(frame.filename)]
        place = f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else str(path)
        text = error.args[0] if isinstance(error, KeyError) and error.args else error
        raise ConfigError(f"{place}: the config cannot be executed: {type(error).__name__}: {text}") from error


def _is_config(filename: str) -> bool:
    """Whether a frame belongs to a config file: not to an installed package, and not to vosplug's own code."""
    path = Path(filename)
    if "site-packages" in path.parts and "configs" not in path.parts and ".mim" not in path.parts:
        return False
    return path.is_file() and (PACKAGE not in path.parents or PACKAGE / "configs" in path.parents)


def _import_custom(cfg: Config, path: Path) -> None:
    custom = cfg.get("custom_imports")
    if not custom:
        return
    try:
        import_modules_from_strings(**custom)
    except ConfigError:
        raise
    except Exception as error:
        cause = error.__cause__ or error.__context__ or error
        raise ConfigError(f"{path}: custom_imports {custom.get('imports')!r} failed: {type(cause).__name__}: {cause}. "
                          f"The folder of the module must be on PYTHONPATH, or pass the file by --plugin.") from error
