"""Options given on the command line: parsing ``--cfg-options``, and putting them where something reads them."""

import ast
from argparse import ArgumentError
from collections.abc import Collection, Iterator
from typing import Any

from mmengine.config import Config, ConfigDict, DictAction

from .config_check import TOP_KEYS, accepted_keys
from .errors import ConfigError, did_you_mean


class OptionsAction(DictAction):
    """``key=value`` pairs: mmengine's syntax, and Python's for whatever starts with a quote, a bracket or ``dict(``."""

    def __call__(self, parser, namespace, values, option_string=None):
        """Add the pairs to the dict of this option; a later pair wins."""
        options = dict(getattr(namespace, self.dest, None) or {})
        for pair in [values] if isinstance(values, str) else values:
            key, sign, text = pair.partition("=")
            if not sign or not key.strip(" ."):
                raise ArgumentError(self, f"expected KEY=VALUE, got {pair!r}")
            try:
                options[key.strip()] = self.parse(text)
            except (ValueError, AssertionError) as error:
                raise ArgumentError(self, f"cannot read the value of {key.strip()}: {error}") from error
        setattr(namespace, self.dest, options)

    @classmethod
    def parse(cls, text: str) -> Any:
        """Value of ``text``: a number, a boolean, None, a list, a tuple, a dict or else a string."""
        text = text.strip()
        if text[:1] in tuple("[({'\"") or text.startswith("dict("):
            try:
                return _literal(ast.parse(text, mode="eval").body)
            except (ValueError, SyntaxError, TypeError):
                if text.startswith(("{", "dict(")):
                    raise ValueError(f"{text!r} is not a Python dict of plain values (quote its strings)") from None
        return cls._parse_iterable(text)


def _literal(node: ast.expr) -> Any:
    """Like :func:`ast.literal_eval`, with ``dict(key=value)`` as configs write it."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict" and not node.args:
        return {item.arg: _literal(item.value) for item in node.keywords if item.arg is not None}
    if isinstance(node, ast.List):
        return [_literal(item) for item in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_literal(item) for item in node.elts)
    if isinstance(node, ast.Dict):
        return {_literal(key): _literal(value) for key, value in zip(node.keys, node.values, strict=True)}
    return ast.literal_eval(node)


def apply_options(cfg: Config, options: dict[str, Any], *, variables: Collection[str] = ()) -> None:
    """Merge ``options`` (``{"model.memory.budget": 10}``) into ``cfg``.

    Args:
        cfg: changed in place.
        options: dotted keys; a number is an index into a list.
        variables: names that the config files themselves read. Setting such a one after the files ran would not
            reach the places that used it, so it is refused.

    Raises:
        ConfigError: a key does not exist and is no option of the ``type`` at its place, or it is a mere variable.
    """
    for key, value in options.items():
        parts = key.split(".")
        if parts[0] in variables and parts[0] not in TOP_KEYS:
            places = list(_places(cfg, cfg.get(parts[0]), skip=parts[0]))
            hint = f" It is used at: {', '.join(places[:4])}." if places else ""
            raise ConfigError(f"--cfg-options {key}: {parts[0]!r} is a variable that the config file has already used "
                              f"elsewhere, so setting it has no effect; set the place that uses it.{hint}")
        check_key(cfg, parts, value)
        _check_not_shadowed(cfg, parts)
        cfg[parts[0]] = _merged(cfg.get(parts[0]), parts[1:], value)


def _merged(node: Any, parts: list[str], value: Any) -> Any:
    """A copy of ``node`` with ``value`` at ``parts``: a copy, as the places of a config may share one object.

    mmengine's ``merge_from_dict`` cannot set an item of a list of plain values.
    """
    if parts:
        if isinstance(node, list):
            index = int(parts[0])
            return [_merged(item, parts[1:], value) if i == index else item for i, item in enumerate(node)]
        return ConfigDict({**node, parts[0]: _merged(node.get(parts[0]), parts[1:], value)})
    if not isinstance(value, dict):
        return value
    base = node if isinstance(node, dict) and not value.get("_delete_") else {}
    given = {key: _merged(base.get(key), [], item) for key, item in value.items() if key != "_delete_"}
    return ConfigDict({**base, **given})


def check_key(cfg: Any, parts: list[str], value: Any) -> None:
    """Raise :class:`ConfigError` if setting ``parts`` in ``cfg`` to ``value`` would be read by nothing."""
    node = cfg
    for depth, part in enumerate(parts):
        last = depth == len(parts) - 1
        where = ".".join(parts[:depth]) or "the config"
        if isinstance(node, (list, tuple)):
            if not part.isdecimal() or int(part) >= len(node) or isinstance(node, tuple):
                raise ConfigError(f"--cfg-options {'.'.join(parts)}: {where} is a {type(node).__name__} of {len(node)} "
                                  f"items, of which {part!r} is none that can be set")
            node = node[int(part)]
        elif isinstance(node, (dict, Config)):
            if part not in node:
                _check_new_key(node, parts, depth, is_last=last)
                return
            node = node[part]
        else:
            raise ConfigError(f"--cfg-options {'.'.join(parts)}: {where} is {node!r}, which has no keys; "
                              f"to replace it give it whole: {where}=\"dict({part}=...)\"")
    if isinstance(value, dict) and isinstance(node, dict) and "type" not in value and not value.get("_delete_"):
        for key, item in value.items():
            check_key(cfg, [*parts, key], item)


def _check_new_key(node: Any, parts: list[str], depth: int, *, is_last: bool) -> None:
    part, where = parts[depth], ".".join(parts[:depth])
    accepted = accepted_keys(parts[:depth], node)
    if part in accepted or "**" in accepted and is_last:
        if is_last:
            return
        missing = ".".join(parts[:depth + 1])
        raise ConfigError(f"--cfg-options {'.'.join(parts)}: the config has no {missing!r} to change; "
                          f"give it whole: {missing}=\"dict({parts[depth + 1]}=...)\"")
    known = [*node.keys(), *(option for option in accepted if option != "**")]
    kind = node.get("type") if depth else None
    owner = f"{where} ({kind})" if kind else where or "the config"
    raise ConfigError(f"--cfg-options {'.'.join(parts)}: {owner} has no {part!r}.{did_you_mean(part, known)}")


def _check_not_shadowed(cfg: Config, parts: list[str]) -> None:
    """Raise if every stage of the training has its own value for ``parts``, which would win."""
    stages = cfg.get("stages")
    if not isinstance(stages, list) or not stages or parts[0] in ("stages", "model"):
        return
    if all(_has(stage, parts) or parts == ["train_cfg", "max_iters"] and "max_iters" in stage for stage in stages):
        raise ConfigError(f"--cfg-options {'.'.join(parts)}: every stage of the config has its own value, which wins; "
                          f"set it per stage, for instance stages.0.{'.'.join(parts)}")


def _has(node: Any, parts: list[str]) -> bool:
    for part in parts:
        if not isinstance(node, dict) or part not in node:
            return False
        node = node[part]
    return not isinstance(node, (dict, list))


def set_data_root(cfg: Config, data_root: str) -> None:
    """Replace the variable ``data_root`` of ``cfg``, and every value that is it or a path below it.

    Raises:
        ConfigError: the config has no variable ``data_root``, so nothing would change.
    """
    old = cfg.get("data_root")
    if not isinstance(old, str) or not old:
        raise ConfigError("--data-root: this config has no top-level variable data_root; "
                          "set the folders of its data sets by --cfg-options")
    old, new = old.rstrip("/"), str(data_root).rstrip("/") or "/"

    def moved(value: Any) -> Any:
        if isinstance(value, str) and (value == old or value.startswith(old + "/")):
            return new + value[len(old):]
        if isinstance(value, dict):
            return ConfigDict({key: moved(item) for key, item in value.items()})
        if isinstance(value, (list, tuple)):
            return type(value)(moved(item) for item in value)
        return value

    for key in list(cfg.keys()):
        cfg[key] = moved(cfg[key])


def _places(cfg: Any, value: Any, skip: str = "") -> Iterator[str]:
    """Dotted keys below ``cfg`` whose value equals ``value``."""
    if isinstance(cfg, (dict, Config)):
        items = [(str(key), cfg[key]) for key in cfg.keys() if key != skip]  # noqa: SIM118 (a Config is no dict)
    elif isinstance(cfg, (list, tuple)):
        items = [(str(index), item) for index, item in enumerate(cfg)]
    else:
        return
    for key, item in items:
        if type(item) is type(value) and item == value:
            yield key
        else:
            yield from (f"{key}.{below}" for below in _places(item, value))
