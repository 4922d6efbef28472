"""Tables of other values of options: what a part is, as an example, and what each of its options might be instead."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from vosplug.registry import Registry


@dataclass
class Made:
    """A value that is made anew for each part."""

    make: Callable[[], Any]


@dataclass
class Case:
    """An example of a part.

    Attributes:
        registry, name: of the part.
        config: options of the example.
        others: another value for each of some options.
        ask: what shows a difference; a generator may show it piece by piece.
    """

    registry: Registry
    name: str
    config: dict[str, Any]
    others: dict[str, Any] = field(default_factory=dict)
    ask: Callable[[Any], Any] = repr

    def build(self, changes: dict[str, Any]) -> Any:
        """The part, with some options changed."""
        options = {**self.config, **changes}
        made = {key: value.make() if isinstance(value, Made) else value for key, value in options.items()}
        return self.registry.build({"type": self.name, **made})

    def __str__(self) -> str:
        return f"{self.name}-{'-'.join(self.others)}"


CASES: list[Case] = []


def cases_of(registry: Any) -> Callable:
    """A decorator for functions that ask parts of ``registry``: name and config of an example, other values."""

    def of(part: str, config: dict, **others: Any) -> Callable:
        def decorate(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
            CASES.append(Case(registry, part, config, others, function))
            return function

        return decorate

    return of
