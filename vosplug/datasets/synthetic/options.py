"""The knobs of the synthetic video generator."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from ...utils.errors import ConfigError, did_you_mean
from .classes import CLASS_NAMES

MAX_OBJECTS = 32

_SHARES = ("occluder", "late", "leave", "copies", "blur")
_AMOUNTS = ("motion", "camera", "deform", "colour", "photometric", "noise")


@dataclass(frozen=True)
class SyntheticOptions:
    """What synthetic videos contain and how hard they are. Checked when made.

    Lengths are fractions of the shorter side of the picture, times are in frames of a video at ``motion=1``.

    Attributes:
        classes: names of the object classes that occur (see :data:`vosplug.datasets.synthetic.CLASS_NAMES`).
        later_classes: classes of all objects but the first of a video; None: the same as ``classes``.
        objects: fewest and most annotated objects of a video.
        parts: fewest and most primitives that an object is the union of.
        scale: smallest and largest size of an object, as the square root of its area.
        distractors: fewest and most moving things that look like objects and are not annotated.
        copies: share of the distractors that are exact copies of an object; the others share only its class.
        occluder: probability of a thing that passes in front of everything.
        late: probability for each object but the first that it enters after the first frame.
        leave: probability for each object that it leaves the picture for a while and returns.
        motion: speed of everything; 1 is about that of real video from frame to frame, 0 a still scene.
        camera: strength of the camera motion (pan, shake, rotation, zoom); 0 is a tripod.
        deform: strength of the deformation of objects and background; 0 is rigid.
        min_visible: an object enters with at least this share of the picture visible. It is not drawn before.
        colour: strength of the colour jitter of textures, with channel permutations and inversions; 0 turns it off.
        photometric: strength of changing brightness, contrast and gamma; 0 turns it off.
        noise: largest standard deviation of the camera noise, in grey levels.
        blur: probability that a video is slightly out of focus.
        textures: number of different textures (made once per process, on demand).
    """

    classes: tuple[str, ...] = CLASS_NAMES
    later_classes: tuple[str, ...] | None = None
    objects: tuple[int, int] = (1, 3)
    parts: tuple[int, int] = (1, 4)
    scale: tuple[float, float] = (0.17, 0.5)
    distractors: tuple[int, int] = (0, 2)
    copies: float = 0.5
    occluder: float = 0.35
    late: float = 0.2
    leave: float = 0.15
    motion: float = 1.0
    camera: float = 1.0
    deform: float = 1.0
    min_visible: float = 0.004
    colour: float = 1.0
    photometric: float = 1.0
    noise: float = 5.0
    blur: float = 0.3
    textures: int = 240

    def __post_init__(self):
        object.__setattr__(self, "classes", _class_names("classes", self.classes))
        if self.later_classes is not None:
            object.__setattr__(self, "later_classes", _class_names("later_classes", self.later_classes))
        for name, low, high in (("objects", 1, MAX_OBJECTS), ("parts", 1, 8), ("distractors", 0, MAX_OBJECTS)):
            object.__setattr__(self, name, _range(name, getattr(self, name), low, high, whole=True))
        object.__setattr__(self, "scale", _range("scale", self.scale, 0.05, 1.0, whole=False))
        for name in _SHARES:
            _number(name, getattr(self, name), 0.0, 1.0)
        for name in _AMOUNTS:
            _number(name, getattr(self, name), 0.0, 50.0)
        _number("min_visible", self.min_visible, 1e-6, 1.0)
        # An elongated picture is at most about twice as long as high, and objects may be partly covered.
        if self.min_visible > 0.25 * self.scale[0] ** 2:
            raise ConfigError(f"synthetic option min_visible={self.min_visible} is too large for objects of size "
                              f"{self.scale[0]}: expected at most scale[0]**2 / 4 = {0.25 * self.scale[0] ** 2:.4g}")
        if not _is_whole(self.textures) or not 8 <= self.textures <= 4096:
            raise ConfigError(f"synthetic option textures must be a whole number in 8..4096, got {self.textures!r}")

    @classmethod
    def make(cls, given: "SyntheticOptions | Mapping[str, Any] | None" = None, **defaults) -> "SyntheticOptions":
        """Return options from a dict (as configs give them), an instance, or None; ``defaults`` for what is not given.

        Raises:
            ConfigError: an unknown key or a value out of range.
        """
        if isinstance(given, cls):
            return given
        given = dict(given or {})
        known = [field.name for field in fields(cls)]
        for key in given:
            if key not in known:
                raise ConfigError(f"unknown synthetic option {key!r}.{did_you_mean(key, known)} "
                                  f"Known: {', '.join(known)}.")
        return cls(**{**defaults, **given})

    def but(self, **changes) -> "SyntheticOptions":
        """A copy with some values changed."""
        return replace(self, **changes)


def _class_names(option: str, names: Sequence[str]) -> tuple[str, ...]:
    names = (names,) if isinstance(names, str) else tuple(names)
    for name in names:
        if name not in CLASS_NAMES:
            raise ConfigError(f"synthetic option {option}: unknown class {name!r}."
                              f"{did_you_mean(name, CLASS_NAMES)} Known: {', '.join(CLASS_NAMES)}.")
    if not names or len(set(names)) != len(names):
        raise ConfigError(f"synthetic option {option} needs at least one name, each once, got {names}")
    return names


def _range(option: str, value: Any, low: float, high: float, whole: bool) -> tuple:
    kind = "whole numbers" if whole else "numbers"
    try:
        first, last = value
    except (TypeError, ValueError):
        raise ConfigError(f"synthetic option {option} must be two {kind} (fewest, most), got {value!r}") from None
    right = _is_whole if whole else _is_number
    if not (right(first) and right(last) and low <= first <= last <= high):
        raise ConfigError(f"synthetic option {option} must be two {kind} with {low} <= first <= last <= {high}, "
                          f"got {value!r}")
    return first, last


def _number(option: str, value: Any, low: float, high: float) -> None:
    if not _is_number(value) or not low <= value <= high:
        raise ConfigError(f"synthetic option {option} must be a number in {low:g}..{high:g}, got {value!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
