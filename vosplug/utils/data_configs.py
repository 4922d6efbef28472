"""Configs in YAML and JSON are data: nothing in them runs code. Configs in Python are programs.

mmengine reads YAML with tags that call anything, takes a type that is registered nowhere for the dotted name of
anything that can be imported, and imports what ``custom_imports`` names. None of that is for a file that looks like
data.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from .errors import ConfigError, did_you_mean

NORMS = ("BN", "FrozenBN", "GN", "none")  # types of norms, which layers know by name: no registered parts
NAMING = ("type", "constructor")
SUFFIXES = (".json", ".yaml", ".yml")
REMEDY = "a config in YAML or JSON is data; write a config in Python for what is a program"


def is_data(path: Path) -> bool:
    """Whether a config is data by its suffix."""
    return path.suffix.lower() in SUFFIXES


def check_data_file(path: Path, shipped: list[Path]) -> None:
    """Refuse what a data config must not have, before mmengine reads it; its ``_base_`` files are checked as well.

    Args:
        path: of the config.
        shipped: folders of the configs that come with vosplug, which may be Python.

    Raises:
        ConfigError: the file cannot be read, or holds a tag of Python, ``custom_imports``, or a base that is a program.
    """
    content = _read(path)
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: a config is a dict of settings, got a {type(content).__name__}")
    if content.get("custom_imports"):
        raise ConfigError(f"{path}: custom_imports runs code, and {REMEDY}, or use --plugin")
    bases = content.get("_base_") or ()
    for base in [bases] if isinstance(bases, str) else bases:
        found = (path.parent / str(base)).resolve()
        if "::" in str(base) or (not is_data(found) and not any(folder in found.parents for folder in shipped)):
            raise ConfigError(f"{path}: _base_ {base!r} is a program that does not come with vosplug: {REMEDY}")
        if is_data(found):
            check_data_file(found, shipped)


def check_types(cfg: Mapping, where: str, registries: list[Any], names: Collection[str] = ()) -> None:
    """Refuse a type, anywhere in a data config, that is no registered part.

    Args:
        cfg: the config, as a dict.
        where: its name, for messages.
        registries: all that parts may be in; those of other packages, ``mmdet.ResNet``, are found through their roots.
        names: types that are no parts but names that a part knows, such as those of norms.

    Raises:
        ConfigError: a type is not registered.
    """
    for key, name in _types(cfg):
        if name in names or any(registered(registry, name) is not None for registry in registries):
            continue
        known = sorted({known for registry in registries for known in registry.module_dict})
        raise ConfigError(f"{where}, {key}: {name!r} is no registered part.{did_you_mean(name, known)} A type in YAML "
                          "or JSON is the name of a part, never of something else that Python could call")


def registered(registry: Any, name: str) -> Any:
    """What is registered as ``name``, or as ``package.name`` in the registry of an installed package, or None.

    Nothing but registries of packages is imported, and nothing is looked up by its place in a module.
    """
    scope, dot, rest = name.partition(".")
    registry.import_from_location()
    if not dot:
        while registry is not None:
            if name in registry.module_dict:
                return registry.module_dict[name]
            registry = registry.parent
        return None
    if "." in rest or not has_registry(scope):
        return None
    found = registry.get(name)  # imports the registries of the package
    root = registry._get_root_registry()
    places = (registry, *registry.children.values(), root, *root.children.values())
    return found if any(place.module_dict.get(rest) is found for place in places) else None


def has_registry(package: str) -> bool:
    """Whether an installed package has a module ``registry``, as those around mmengine have; nothing is imported."""
    from importlib.util import find_spec

    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        return False
    folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec is not None else []
    installed = [folder for folder in folders if {"site-packages", "dist-packages"} & set(folder.parts)]
    return any((folder / "registry.py").is_file() or (folder / "registry" / "__init__.py").is_file()
               for folder in installed) or package == "vosplug"


def _read(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix.lower() == ".json":
            return json.loads(text)
        import yaml

        return yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the config {path}: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: nested too deeply") from error
    except Exception as error:  # of the parsers; yaml has no common base that json shares
        fault = " ".join(str(error).split())
        raise ConfigError(f"{path}: not valid as data ({type(error).__name__}: {fault}); {REMEDY}") from error


def _types(node: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Key and value of every text that names what is built."""
    items = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, (list, tuple)) else ()
    for key, value in items:
        place = f"{where}.{key}" if where else str(key)
        if key in NAMING and isinstance(value, str):
            yield place, value
        elif not isinstance(value, str):
            yield from _types(value, place)
