"""Looking into a model while it runs: for comparisons only, nothing of the package is watched that way."""

from typing import Any


def recorded(owner: object, name: str) -> list[Any]:
    """Replace a method of one object by itself with a record: what it returns is also added to the list."""
    results, method = [], getattr(owner, name)

    def call(*args, **kwargs):
        results.append(method(*args, **kwargs))
        return results[-1]

    object.__setattr__(owner, name, call)
    return results
