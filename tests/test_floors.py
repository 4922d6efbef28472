"""The floors of the house: nothing imports from above itself, not even in a function, and no two modules each other."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

# Folder or module of the package -> its floor. What stands on one floor may be imported by it and by those above.
FLOORS = {"__init__": 0, "registry": 0, "utils": 0, "ops": 0, "weights": 1, "structures": 1, "models": 2, "datasets": 2,
          "visualization": 3, "converters": 3, "inference": 3, "evaluation": 4, "parity": 4, "engine": 5, "cli": 6,
          "env": 6, "__main__": 6}
MODELS = {"layers": 0, "frame_run": 0, "losses": 1, "tasks": 2, "segmentors": 3}  # floors within vosplug/models


def modules(package: Path) -> Iterator[tuple[tuple[str, ...], ast.Module]]:
    """Dotted name of each module (a package without its ``__init__``), and its syntax tree."""
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        yield (parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts), ast.parse(path.read_text())


def imports(package: Path) -> Iterator[tuple[str, int, str]]:
    """(importing module, line, imported module) of everything inside the package; names are dotted, without it."""
    known = {".".join(name) for name, _ in modules(package)}
    for name, tree in modules(package):
        is_package = (package.joinpath(*name) / "__init__.py").is_file() or name == ("__init__",)
        here = [part for part in name if part != "__init__"]
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom) or not (node.level or (node.module or "").startswith("vosplug")):
                continue
            if node.level:
                base = here[: len(here) - (node.level - is_package)]
                base = [*base, *node.module.split(".")] if node.module else base
            else:
                base = node.module.split(".")[1:]
            for alias in node.names:
                full = ".".join([*base, alias.name])
                yield ".".join(name), node.lineno, full if full in known else ".".join(base) or "__init__"


@pytest.fixture(scope="module")
def found(root):
    return list(imports(root / "vosplug"))


def test_nothing_imports_from_above_itself(found):
    assert len(found) > 500
    unknown = {name.split(".")[0] for name, _, _ in found} - set(FLOORS)
    assert not unknown, f"say on which floor {sorted(unknown)} stands"
    wrong = [f"{name}, line {line}: {other}" for name, line, other in found
             if FLOORS.get(other.split(".")[0], 0) > FLOORS[name.split(".")[0]]]
    assert not wrong, "\n".join(wrong)


def test_models_have_floors_too(found):
    def floor(name):
        parts = name.split(".")
        return MODELS.get(parts[1]) if parts[0] == "models" and len(parts) > 1 else None

    wrong = [f"{name}, line {line}: {other}" for name, line, other in found
             if floor(name) is not None and floor(other) is not None and floor(other) > floor(name)]
    assert not wrong, "\n".join(wrong)


def test_no_two_modules_import_each_other(found):
    pairs = {(name, other) for name, _, other in found if name != other}
    circles = sorted((a, b) for a, b in pairs if a < b and (b, a) in pairs
                     and not a.startswith(f"{b}.") and not b.startswith(f"{a}."))  # a package and its own parts
    assert not circles
