"""All registries of vosplug on one screen, and the loading of plugins.

A part is registered under its *kind* (``@BACKBONES.register_module()``); every kind that is a network part also
lives in :data:`MODELS`, a child of mmengine's registry, so that ``mmdet.ResNet`` and the like resolve in configs.
"""

import copy
import importlib
import importlib.util
import inspect
import sys
import traceback
import zlib
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from mmengine import registry as mm

from .utils.errors import ConfigError, did_you_mean
from .utils.safe_loading import refuse_files_in_config, refuse_files_in_model, safe_loading

PLUGIN_GROUP = "vosplug.plugins"
SCOPE = "vosplug"
ANY: Mapping[str, inspect.Parameter] = {}  # stands for the parameters of what has no signature
Examples = Sequence[dict] | Callable[[], Sequence[dict]]


class Registry(mm.Registry):
    """mmengine's registry with errors in one line: misspelt types and options get a suggestion."""

    def build(self, cfg: Any, *args, **kwargs) -> Any:
        """Build ``cfg`` (a dict with ``type``); raise :class:`ConfigError` naming the fault."""
        if isinstance(cfg, dict) and "type" in cfg:
            self.check(cfg, kwargs.get("default_args"))
        cfg, changes = self._take_modifiers(cfg)
        part = self._build(cfg, *args, **kwargs)
        for modifier, options in changes:
            modifier(part, **options)
        return part

    def _build(self, cfg: Any, *args, **kwargs) -> Any:
        try:
            return super().build(cfg, *args, **kwargs)
        except (TypeError, ValueError) as error:  # almost always a value of the config that the type cannot take
            frame = traceback.extract_tb(error.__traceback__)[-1]
            name = cfg.get("type") if isinstance(cfg, dict) else cfg
            raise ConfigError(f"{self.name} {getattr(name, '__name__', name)!r} cannot be built as the config says: "
                              f"{type(error).__name__}: {error} ({frame.filename}, line {frame.lineno})") from error

    def check(self, cfg: dict, default_args: dict | None = None) -> None:
        """Raise :class:`ConfigError` if ``cfg`` names an unknown type or an option that its type does not take."""
        self.check_known(cfg, default_args)
        name, cls = self._resolve(cfg["type"])
        check_needed_options(name, cls, {**(default_args or {}), **cfg})
        for key, modifier in modifiers_of(cls).items():
            if cfg.get(key) is not None:
                check_needed_options(f"{name}.{key}", modifier, cfg[key])

    def check_known(self, cfg: dict, default_args: dict | None = None) -> None:
        """Like :meth:`check`, but options that a builder adds later may still be missing."""
        check_options(*self._resolve(cfg["type"]), {**(default_args or {}), **cfg})

    def _take_modifiers(self, cfg: Any) -> tuple[Any, list[tuple["Modifier", dict]]]:
        """``cfg`` without the keys of modifiers, and these with their options; one that is None changes nothing."""
        found = modifiers_of(self._resolve(cfg["type"])[1]) if isinstance(cfg, dict) and "type" in cfg else {}
        if not set(found) & set(cfg):
            return cfg, []
        changes = [(modifier, dict(cfg[key])) for key, modifier in found.items() if cfg.get(key) is not None]
        return type(cfg)({key: value for key, value in cfg.items() if key not in found}), changes

    def _resolve(self, name: Any) -> tuple[str, Any]:
        if not isinstance(name, str):
            return getattr(name, "__name__", repr(name)), name
        try:
            cls = self.get(name)
        except RuntimeError:  # mmengine's answer to a name with dots that cannot be imported
            cls = None
        if cls is None:
            known, parent = self.names(), self.parent
            while parent is not None:
                known, parent = [*known, *parent.module_dict], parent.parent
            scope = name.partition(".")[0]
            hint = f" Is the package {scope!r} installed (python -m vosplug.env)?" if "." in name else ""
            raise ConfigError(f"unknown {self.name} type {name!r}.{did_you_mean(name, known)}{hint} "
                              f"Known: {', '.join(sorted(self.names()))}.")
        return name, cls

    def _register_module(self, module: Any, module_name: str | list[str] | None = None, force: bool = False) -> None:
        """Register; the same definition may come again (a plugin file that is also imported as a module)."""
        given = [module_name] if isinstance(module_name, str) else module_name or [module.__name__]
        for name in given:
            old = self.module_dict.get(name)
            if old is not None and not force and not same_source(old, module):
                raise ConfigError(f"{self.name} {name!r} of {module.__module__} is already registered by "
                                  f"{old.__module__}: choose another name")
        super()._register_module(module, module_name, force=True)

    def names(self) -> list[str]:
        """Names registered here (not in parents), after importing the places where parts live."""
        self.import_from_location()
        return list(self.module_dict)


class ModelRegistry(Registry):
    """The registry of parts of models, none of which may load a file that could run code."""

    def build(self, cfg: Any, *args, **kwargs) -> Any:
        """Build ``cfg``; raise :class:`ConfigError` if an ``init_cfg`` in it, or in what is built, names a file."""
        refuse_files_in_config(cfg)
        with safe_loading():
            part = super().build(cfg, *args, **kwargs)
        refuse_files_in_model(part)
        return part


class Kind:
    """A listable subset of a registry: backbones, decoders, ... share one name space but are told apart.

    Args:
        name: of the kind.
        registry: it is part of.
        publishes: attributes that a part of another package has to have.
    """

    def __init__(self, name: str, registry: Registry, publishes: Sequence[str] = ()):
        self.name = name
        self.registry = registry
        self.publishes = publishes
        self._members: dict[str, type] = {}
        self._brought: dict[str, tuple[str, Examples]] = {}
        self.modifiers: dict[str, Modifier] = {}
        KINDS[name] = self

    def register_module(self, name: str | None = None, *, role: str = "", examples: Examples = ()):
        """Return a decorator that registers a class under ``name`` (default: the name of the class).

        Args:
            role: what the part is for, in a kind whose parts do not all answer the same calls.
            examples: options of small instances, or a function that gives them: what the part needs beside what its
                builder offers. Contract tests run on them.
        """

        def decorate(cls: type) -> type:
            key = name or cls.__name__
            self.registry.register_module(name=key, module=cls)
            self._members[key], self._brought[key] = cls, (role, examples)
            return cls

        return decorate

    def role(self, name: str) -> str:
        """What the part ``name`` is for among those of its kind; empty for the usual."""
        return self._brought[name][0]

    def examples(self, name: str) -> list[dict]:
        """Configs of small instances of the part ``name``; none if it brings none."""
        given = self._brought[name][1]
        return [dict(type=name, **copy.deepcopy(options)) for options in (given() if callable(given) else given)]

    def example(self, name: str, number: int = 0, **changes) -> dict:
        """One of the :meth:`examples`, with ``changes`` of its options."""
        return {**self.examples(name)[number], **changes}

    def modifier(self, key: str):
        """Return a decorator for a function that changes a built part: its options may stand in configs under ``key``.

        Every config of this kind may have the key; what it holds are the options of the function, without its first
        parameter, which is the part. The class of the part knows nothing of it.
        """

        def decorate(function: Callable) -> Callable:
            self.modifiers[key] = Modifier(function)
            return function

        return decorate

    def members(self) -> dict[str, type]:
        """All classes of this kind by name."""
        self.registry.import_from_location()
        return dict(self._members)

    def build(self, cfg: Any, **offered) -> Any:
        """Build ``cfg``; a type of another kind is refused.

        ``offered`` are options that ``cfg`` overrides: a part gets those that its signature names (all of them if it
        takes ``**options``). What ``cfg`` itself gives must be an option of the part.
        """
        if not isinstance(cfg, dict) or "type" not in cfg:
            raise ConfigError(f"a {self.name} needs a dict with the key 'type', got {cfg!r}")
        name = cfg["type"]
        members = self.members()
        if isinstance(name, str) and name not in members and "." not in name:
            other = next((kind.name for kind in KINDS.values() if name in kind._members), None)
            if other:
                raise ConfigError(f"{name!r} is a {other}, not a {self.name}. Known: {', '.join(sorted(members))}.")
            if self.registry.get(name) is None:
                raise ConfigError(f"unknown {self.name} type {name!r}.{did_you_mean(name, members)} "
                                  f"Known: {', '.join(sorted(members))}.")
        parameters = _parameters(self.registry._resolve(name)[1])
        if parameters is not ANY and not takes_any(parameters):
            offered = {key: value for key, value in offered.items() if key in parameters}
        part = self.registry.build(cfg, default_args=offered or None)
        lacking = [attribute for attribute in self.publishes if not hasattr(part, attribute)]
        if isinstance(name, str) and name not in members and lacking:
            raise ConfigError(f"{name!r} cannot be a {self.name} as it is: it does not publish {lacking[0]!r}; wrap it "
                              "in one that does (docs/plugins.md)")
        return part


class Modifier:
    """What a key of configs does to a built part; called with the part and the options.

    Args:
        function: its first parameter is the part.
    """

    def __init__(self, function: Callable):
        self.function = function
        signature = inspect.signature(function)
        self.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])

    def __call__(self, part: Any, **options) -> None:
        self.function(part, **options)


def modifiers_of(cls: Any) -> dict[str, Modifier]:
    """Keys that a config of ``cls`` may have besides its own options, by the kinds it belongs to."""
    return {key: modifier for kind in KINDS.values() if cls in kind._members.values()
            for key, modifier in kind.modifiers.items()}


def check_options(name: str, cls: Any, cfg: dict) -> None:
    """Raise :class:`ConfigError` if ``cfg`` has a key that neither ``cls`` nor a modifier of its kind takes."""
    parameters, modifiers = _parameters(cls), modifiers_of(cls)
    for key in set(modifiers) & set(cfg):
        if not isinstance(cfg[key], Mapping | None):
            raise ConfigError(f"{name}: {key} must be a dict of options or None, got {cfg[key]!r}")
        check_options(f"{name}.{key}", modifiers[key], cfg[key] or {})
    if takes_any(parameters):
        return
    known = [*parameters, *modifiers]
    unknown = sorted(key for key in cfg if key not in ("type", "_scope_") and key not in known)
    if unknown and parameters is not ANY:
        raise ConfigError(f"{name} has no option {unknown[0]!r}.{did_you_mean(unknown[0], known)} "
                          f"Its options: {', '.join(known) or 'none'}.")
    check_numbers(name, parameters, cfg)


def check_numbers(name: str, parameters: Mapping[str, inspect.Parameter], cfg: Mapping[str, Any]) -> None:
    """Raise :class:`ConfigError` if ``cfg`` gives a word for an option whose default is a number or a boolean."""
    for key, parameter in parameters.items():
        if isinstance(cfg.get(key), str) and isinstance(parameter.default, (bool, int, float)) \
                and "str" not in str(parameter.annotation):
            kind = "True or False" if isinstance(parameter.default, bool) else "a number"
            raise ConfigError(f"{name}: the option {key} must be {kind}, got {cfg[key]!r}")


def check_needed_options(name: str, cls: Any, cfg: dict) -> None:
    """Raise :class:`ConfigError` if ``cfg`` lacks an option that ``cls`` has no default for."""
    needed = [p.name for p in _parameters(cls).values() if p.default is p.empty
              and p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD) and p.name not in cfg]
    if needed:
        raise ConfigError(f"{name} needs the option {needed[0]!r}, which the config does not give")


def takes_any(parameters: Mapping[str, inspect.Parameter]) -> bool:
    """Whether a signature has ``**options``."""
    return any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def _parameters(cls: Any) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(cls).parameters
    except (TypeError, ValueError):  # a builtin without a signature: nothing is known about its options
        return ANY


def same_source(old: type, new: type) -> bool:
    """Whether two classes are one definition seen twice (a plugin file that was loaded again)."""
    def source(cls):
        return getattr(sys.modules.get(cls.__module__), "__file__", cls.__module__), cls.__qualname__
    return source(old) == source(new)


def load_plugin(source: str) -> None:
    """Import a plugin: a path of a ``.py`` file or the dotted name of a module.

    Raises:
        ConfigError: the file does not exist, or importing it fails.
    """
    path = Path(source).expanduser().resolve()
    if source.endswith(".py") and not path.is_file():
        raise ConfigError(f"plugin file not found: {source}")
    try:
        if source.endswith(".py"):
            _load_file(path)
        else:
            importlib.import_module(source)
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        place = f", line {lines[-1]}" if lines else ""
        hint = " (a plugin in a file is named with its .py)" if getattr(error, "name", None) == source else ""
        fault = f"{type(error).__name__}: {error}{hint}"
        raise ConfigError(f"plugin {source}{place} cannot be imported: {fault}") from error


def _load_file(path: Path) -> None:
    """Execute a plugin file, unless this very content has been executed before."""
    content = zlib.crc32(path.read_bytes())
    name = f"vosplug_plugin_{path.stem}_{zlib.crc32(str(path).encode()):08x}"
    if getattr(sys.modules.get(name), "__content__", None) == content:
        return
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    module.__content__ = content


def load_entry_point_plugins() -> list[str]:
    """Import all installed plugins of the entry-point group ``vosplug.plugins``; return their names."""
    names = []
    for point in entry_points(group=PLUGIN_GROUP):
        try:
            point.load()
        except Exception as error:
            raise ConfigError(f"the installed plugin {point.name!r} ({point.value}) cannot be imported: "
                              f"{type(error).__name__}: {error}") from error
        names.append(point.name)
    return names


KINDS: dict[str, Kind] = {}

MODELS = ModelRegistry("model", parent=mm.MODELS, scope=SCOPE, locations=["vosplug.models"])
DATASETS = Registry("dataset", parent=mm.DATASETS, scope=SCOPE, locations=["vosplug.datasets"])
TRANSFORMS = Registry("transform", parent=mm.TRANSFORMS, scope=SCOPE, locations=["vosplug.datasets.transforms"])
DATA_SAMPLERS = Registry("data sampler", parent=mm.DATA_SAMPLERS, scope=SCOPE, locations=["vosplug.datasets"])
METRICS = Registry("metric", parent=mm.METRICS, scope=SCOPE, locations=["vosplug.evaluation.metrics"])
HOOKS = Registry("hook", parent=mm.HOOKS, scope=SCOPE, locations=["vosplug.engine"])
LOOPS = Registry("loop", parent=mm.LOOPS, scope=SCOPE, locations=["vosplug.engine"])
RUNNERS = Registry("runner", parent=mm.RUNNERS, scope=SCOPE, locations=["vosplug.engine"])
READERS = Registry("reader", scope=SCOPE, locations=["vosplug.inference"])
WRITERS = Registry("writer", scope=SCOPE, locations=["vosplug.inference"])
CONVERTERS = Registry("converter", scope=SCOPE, locations=["vosplug.converters"])
PARITY_RUNS = Registry("parity run", scope=SCOPE, locations=["vosplug.parity"])

SEGMENTORS = Kind("segmentor", MODELS)
BACKBONES = Kind("backbone", MODELS, publishes=("levels",))
ENCODERS = Kind("encoder", MODELS)
SPARSE_CONVS = Kind("sparse convolution", MODELS)
FRAME_POLICIES = Kind("frame policy", MODELS)
MATCHING_HEADS = Kind("matching head", MODELS)
ATTENTIONS = Kind("attention", MODELS)
MEMORIES = Kind("memory", MODELS)
DECODERS = Kind("decoder", MODELS)
GATES = Kind("reuse gate", MODELS)
LOSSES = Kind("loss", MODELS)
LAYERS = Kind("layer", MODELS)
TASKS = Kind("task", MODELS)
PREPROCESSORS = Kind("preprocessor", MODELS)
VIS_SEGMENTORS = Kind("VIS segmentor", MODELS)
NECKS = Kind("neck", MODELS)
ROI_EXTRACTORS = Kind("RoI extractor", MODELS)
QUERIES = Kind("tracklet query", MODELS)
QUERY_ATTENTIONS = Kind("query attention", MODELS)
DYNAMIC_CONVS = Kind("dynamic convolution", MODELS)
TRACKLET_HEADS = Kind("tracklet head", MODELS)
LINKERS = Kind("linker", MODELS)

REGISTRIES: dict[str, Registry] = {
    registry.name: registry
    for registry in (DATASETS, TRANSFORMS, DATA_SAMPLERS, METRICS, HOOKS, LOOPS, RUNNERS, READERS, WRITERS, CONVERTERS,
                     PARITY_RUNS)
}

