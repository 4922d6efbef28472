"""Which category of a data set a class of a model is, by name where both have names."""

from collections.abc import Sequence

from ..utils.errors import ConfigError
from ..utils.notices import warn


def class_places(names: Sequence[str] | None, categories: Sequence[str], by_number: bool = False) -> list[int]:
    """Per class of a model the place of its category among those of a data set.

    Args:
        names: of the model's classes, as its training wrote them into the checkpoint; None where they are not known:
            then classes are the categories in their order.
        categories: names of the categories, by ascending id.
        by_number: classes are the categories in their order, whatever they are called.

    Raises:
        ConfigError: the names are not the same.
    """
    places = list(range(len(categories)))
    if names is None or by_number or list(names) == list(categories):
        return places
    if sorted(names) == sorted(categories) and len(set(names)) == len(names):
        warn("the classes of the checkpoint are the categories of the data set in another order: they are matched by "
             "name")
        return [list(categories).index(name) for name in names]
    number = next((k for k, pair in enumerate(zip(names, categories, strict=False)) if pair[0] != pair[1]),
                  min(len(names), len(categories)))
    ours, theirs = (repr(list(group)[number]) if number < len(group) else "none" for group in (names, categories))
    raise ConfigError(f"class {number} of the checkpoint is {ours}, but category {number} of the data set {theirs}: "
                      "they would be compared by number only; give the categories the same names, or, if only names "
                      "differ, --class-numbers (evaluator: by_number=True)")
