"""No option is silently ignored: each one of a registered part, and each flag of a command, is read somewhere."""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import vosplug
from vosplug.registry import KINDS, REGISTRIES

from .parts import is_ours

PACKAGE = Path(inspect.getfile(vosplug)).parent
SOURCES = [*PACKAGE.rglob("*.py")]


def parts() -> list:
    """The classes of the package in any registry, once each."""
    for registry in REGISTRIES.values():
        registry.import_from_location()
    members = [*(cls for registry in REGISTRIES.values() for cls in registry.module_dict.values()),
               *(cls for kind in KINDS.values() for cls in kind.members().values())]
    found = {cls for cls in members if inspect.isclass(cls) and is_ours(cls) and "__init__" in vars(cls)}
    return sorted(found, key=lambda cls: cls.__qualname__)


@cache
def attributes_read() -> frozenset[str]:
    """Names of attributes that are read anywhere in the package, by a dot or by name."""
    names = set()
    for node in (node for path in SOURCES for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            names.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.add(node.value)
    return frozenset(names)


def ignored_options(function: ast.FunctionDef, read: frozenset[str]) -> Iterator[str]:
    """Parameters that nothing uses: not read, or kept under names that nobody reads."""
    arguments = function.args
    for name in [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)][1:]:
        uses = [node for node in ast.walk(function) if isinstance(node, ast.Name) and node.id == name]
        kept = [kept for node in ast.walk(function) for kept in kept_by(node, name)]
        if not uses or (len(kept) == len(uses) and not any(attribute in read for attribute in kept)):
            yield name


def kept_by(node: ast.AST, name: str) -> list[str]:
    """Attributes of ``self`` that an assignment gives the parameter ``name`` to, as it is."""
    if not isinstance(node, ast.Assign):
        return []
    pairs = []
    for target in node.targets:
        both = isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
        pairs += zip(target.elts, node.value.elts, strict=True) if both else [(target, node.value)]
    return [target.attr for target, value in pairs if isinstance(target, ast.Attribute)
            and isinstance(value, ast.Name) and value.id == name]


@pytest.mark.parametrize("cls", [pytest.param(cls, id=cls.__qualname__) for cls in parts()])
def test_every_option_of_a_part_is_read(cls):
    function = ast.parse(textwrap.dedent(inspect.getsource(cls.__init__))).body[0]
    assert not list(ignored_options(function, attributes_read()))


def test_ignored_options_are_noticed():
    text = "def __init__(self, a, b, c, d):\n    self.kept, self.lost = a, b\n    print(c)\n"
    assert list(ignored_options(ast.parse(text).body[0], frozenset({"kept"}))) == ["b", "d"]


def flags() -> Iterator[tuple[str, str]]:
    """(module, name under which argparse keeps it) of every flag of every command."""
    for path in sorted((PACKAGE / "cli").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument":
                given = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)}
                names = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
                long = next((name for name in names if name.startswith("--")), names[0] if names else None)
                if long is not None and given.get("action") not in ("help", "version"):
                    yield path.name, given.get("dest", long.lstrip("-").replace("-", "_"))


def test_every_flag_is_read():
    found = list(flags())
    assert len(found) > 100
    assert not [f"{name} of {module}" for module, name in found if name not in attributes_read()]
