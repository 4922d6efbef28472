"""Breaks one expression of a source file by its syntax tree: a sign, a comparison, a constant, or swapped arguments."""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass

SIGNS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult}
COMPARISONS = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
               ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In}
SYMMETRIC = {"min", "max", "minimum", "maximum", "transpose", "isinstance", "gcd", "add", "mul"}  # or plainly wrong


@dataclass(frozen=True)
class Place:
    """A part of a source file that can be broken.

    Attributes:
        kind: ``sign``, ``comparison``, ``constant`` or ``swap``.
        line: number of its line, from 1.
        before, after: the expression as it stands there, and broken.
        start, end: where it stands, in bytes of the file.
    """

    kind: str
    line: int
    before: str
    after: str
    start: int
    end: int


def broken_sign(node: ast.AST) -> ast.AST | None:
    """Plus for minus, times for divided by, and the reverse; a minus in front goes."""
    if isinstance(node, ast.BinOp) and type(node.op) in SIGNS and not is_text(node.left):
        return ast.BinOp(node.left, SIGNS[type(node.op)](), node.right)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return node.operand
    return None


def broken_comparison(node: ast.AST) -> ast.AST | None:
    """Less than for at most, equal for different, ...; of a chain the last."""
    if isinstance(node, ast.Compare) and type(node.ops[-1]) in COMPARISONS:
        return ast.Compare(node.left, [*node.ops[:-1], COMPARISONS[type(node.ops[-1])]()], node.comparators)
    return None


def broken_constant(node: ast.AST) -> ast.AST | None:
    """A whole number plus one, a number with a point half as much again, True for False."""
    if not isinstance(node, ast.Constant):
        return None
    if isinstance(node.value, bool):
        return ast.Constant(not node.value)
    if isinstance(node.value, int):
        return ast.Constant(node.value + 1)
    return ast.Constant(node.value * 1.5 + 0.01) if isinstance(node.value, float) else None


def swapped_arguments(node: ast.AST) -> ast.AST | None:
    """The first two arguments of a call, swapped, if they are names or numbers that differ."""
    if not isinstance(node, ast.Call) or len(node.args) < 2 or any(isinstance(a, ast.Starred) for a in node.args[:2]):
        return None
    first, second = node.args[:2]
    if getattr(node.func, "attr", getattr(node.func, "id", None)) in SYMMETRIC:
        return None
    if is_text(first) or is_text(second) or ast.dump(first) == ast.dump(second):
        return None
    return ast.Call(node.func, [second, first, *node.args[2:]], node.keywords)


KINDS: dict[str, Callable[[ast.AST], ast.AST | None]] = {
    "sign": broken_sign, "comparison": broken_comparison, "constant": broken_constant, "swap": swapped_arguments}


def is_text(node: ast.AST) -> bool:
    """Whether it is a string: what is said is no computation."""
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def places(source: str) -> list[Place]:
    """All that can be broken in the bodies of functions, in the order of the file.

    Left out: what raises and what is said in it, annotations, defaults of arguments, and calls of classes of errors.
    """
    text = source.encode()
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = []
    for node in computed(ast.parse(source)):
        for kind, break_ in KINDS.items():
            broken = break_(node)
            if broken is not None:
                start = starts[node.lineno - 1] + node.col_offset
                end = starts[node.end_lineno - 1] + node.end_col_offset
                found.append(Place(kind, node.lineno, text[start:end].decode(), f"({ast.unparse(broken)})", start, end))
    return sorted(found, key=lambda place: (place.start, -place.end, place.kind))


def computed(tree: ast.AST, inside: bool = False) -> Iterator[ast.AST]:
    """Expressions that are computed when a function runs."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for statement in child.body:
                yield from itself_and_below(statement)
        elif isinstance(child, ast.ClassDef):
            yield from computed(child)


def itself_and_below(node: ast.AST) -> Iterator[ast.AST]:
    """A node and all below it that is computed."""
    if isinstance(node, (ast.Raise, ast.Assert, ast.JoinedStr, ast.Import, ast.ImportFrom)):
        return
    if isinstance(node, (ast.FunctionDef, ast.Lambda)):
        body = node.body if isinstance(node, ast.FunctionDef) else [node.body]
    else:
        yield node
        body = [child for child in ast.iter_child_nodes(node) if child is not getattr(node, "annotation", None)]
    for child in body:
        yield from itself_and_below(child)


def broken(source: str, place: Place) -> str:
    """The source with one place broken."""
    text = source.encode()
    return (text[:place.start] + place.after.encode() + text[place.end:]).decode()
