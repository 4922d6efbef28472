"""The object classes: each is a family of shapes with a family of textures."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ObjectClass:
    """A class of objects.

    Attributes:
        name: name of the class; category ids are positions in :data:`CLASSES`, from 1.
        shape: name of a shape family in :mod:`.shapes`.
        texture: name of a texture family in :mod:`.textures`.
    """

    name: str
    shape: str
    texture: str


CLASSES: tuple[ObjectClass, ...] = (
    ObjectClass("blob", "blob", "clouds"),
    ObjectClass("star", "star", "stripes"),
    ObjectClass("capsule", "capsule", "checks"),
    ObjectClass("polygon", "polygon", "cells"),
    ObjectClass("superellipse", "superellipse", "dots"),
    ObjectClass("ring", "ring", "waves"),
    ObjectClass("crescent", "crescent", "marble"),
    ObjectClass("flower", "flower", "grain"),
)
CLASS_NAMES: tuple[str, ...] = tuple(c.name for c in CLASSES)
CLASS_BY_NAME: dict[str, ObjectClass] = {c.name: c for c in CLASSES}


def category_id(name: str) -> int:
    """Category id of a class in the YouTube-VIS layout, from 1; it does not depend on the classes in use."""
    return CLASS_NAMES.index(name) + 1
