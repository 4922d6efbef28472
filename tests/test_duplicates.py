"""No block of code stands in two places of the package: what two families share has one file."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

WINDOW = 12  # lines that count: no imports, comments or empty lines


def code_lines(text: str) -> list[tuple[int, str]]:
    """(number, text without indentation and trailing comment) of the lines of a module that count."""
    imports = {number for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)
               for number in range(node.lineno, node.end_lineno + 1)}
    lines = ((number, " ".join(line.split("  # ")[0].split())) for number, line in enumerate(text.splitlines(), 1))
    return [(number, line) for number, line in lines if line and not line.startswith("#") and number not in imports]


def repeated(files: dict[str, str], window: int = WINDOW) -> Iterator[str]:
    """Where ``window`` successive lines of one file are those of another place, in it or in another file."""
    places = defaultdict(list)
    for name, text in files.items():
        lines = code_lines(text)
        for first in range(len(lines) - window + 1):
            block = lines[first:first + window]
            places[tuple(line for _, line in block)].append(f"{name}, lines {block[0][0]} to {block[-1][0]}")
    yield from (" is ".join(found) for found in places.values() if len(found) > 1)


@pytest.mark.parametrize("folder", ["vosplug", "ops", "tools"])
def test_no_block_stands_in_two_places(root: Path, folder):
    files = {str(path.relative_to(root)): path.read_text() for path in sorted((root / folder).rglob("*.py"))}
    assert len(files) > 10
    assert list(repeated(files)) == []


def test_a_copied_block_is_found_under_other_indentation_and_comments():
    lines = [f"x{i} = {i}" for i in range(WINDOW)]
    copy = ["import os", "def f():", *(f"    {line}  # why" for line in lines[:5]), "", "    # a comment",
            *(f"    {line}" for line in lines[5:])]
    files = {"a.py": "\n".join(lines), "b.py": "\n".join(copy)}
    assert list(repeated(files)) == ["a.py, lines 1 to 12 is b.py, lines 3 to 16"]
    assert list(repeated({**files, "a.py": "\n".join(lines[1:])})) == []
