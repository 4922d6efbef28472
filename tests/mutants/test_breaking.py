"""What breaks lines, on lines whose broken form is known."""

import pytest

from tests.mutants.breaking import broken, places
from tests.mutants.run_mutants import draw, find, where_tested

SOURCE = '''LIMIT = 3


def mean(values: list[int], start=0):
    """Two words."""
    if len(values) < 1:
        raise ValueError(f"at least {1 + 1} values, got {len(values)}")
    total = scale(values, start) - 1.0
    return total / len(values), max(total, 2)
'''


def test_what_can_be_broken():
    found = [(place.kind, place.line, place.before, place.after) for place in places(SOURCE)]
    assert found == [
        ("comparison", 6, "len(values) < 1", "(len(values) <= 1)"), ("constant", 6, "1", "(2)"),
        ("sign", 8, "scale(values, start) - 1.0", "(scale(values, start) + 1.0)"),
        ("swap", 8, "scale(values, start)", "(scale(start, values))"), ("constant", 8, "1.0", "(1.51)"),
        ("sign", 9, "total / len(values)", "(total * len(values))"), ("constant", 9, "2", "(3)")]


@pytest.mark.parametrize("number", range(7))
def test_one_place_is_broken_and_the_rest_stays(number):
    place = places(SOURCE)[number]
    lines, new = SOURCE.splitlines(), broken(SOURCE, place).splitlines()
    assert [k + 1 for k, (a, b) in enumerate(zip(lines, new, strict=True)) if a != b] == [place.line]
    compile(broken(SOURCE, place), "broken", "exec")


def test_letters_of_more_than_one_byte_move_nothing():
    source = "def f(x):\n    y = '\u00e4\u00f6\u00fc', x + 1\n"
    assert broken(source, places(source)[0]) == "def f(x):\n    y = '\u00e4\u00f6\u00fc', (x - 1)\n"


def test_a_draw_is_repeatable_and_its_lines_are_found_again(root):
    drawn = draw(5, seed=3)
    assert drawn == draw(5, seed=3) != draw(5, seed=4)
    for wanted in drawn:
        source = (root / wanted["module"]).read_text()
        assert broken("\n" + source, find("\n" + source, wanted)) != "\n" + source
        assert where_tested(wanted["module"]) and all((root / path).exists() for path in where_tested(wanted["module"]))
    assert find("x = 1\n", drawn[0]) is None
