"""A random scene: background, camera, objects, distractors and occluder, each with its motion."""

from dataclasses import dataclass

import numpy as np

from .background import Background
from .classes import CLASS_BY_NAME
from .motion import Absence, Track, View, Warp
from .options import SyntheticOptions
from .photometry import Photometry
from .sprites import Sprite, object_sprite, occluder_sprite

_ANCHOR = (0.3, 0.7)  # things wander around a point in this middle part of the picture
# In frames: how often something leaves a long video, how long it is away at most, and how long it takes to go.
_LONGEST_PERIOD, _LONGEST_ABSENCE, _SLOWEST_SLIDE = 500.0, 60.0, 30.0


@dataclass(frozen=True)
class Item:
    """One thing in a scene.

    Attributes:
        category: class name of an annotated object, None for distractors and occluders.
        sprite: its picture.
        track: its motion.
        warp: its deformation.
        margin: how far the warp can displace it, in pixels of the sprite.
    """

    category: str | None
    sprite: Sprite
    track: Track
    warp: Warp
    margin: float


class Scene:
    """Everything that is constant over a synthetic video.

    Args:
        rng: source of the random numbers.
        size: (H, W) of the picture.
        span: length of the video in frames at ``motion=1``.
        options: contents and difficulty.

    Attributes:
        items: the things from far to near.
    """

    def __init__(self, rng: np.random.Generator, size: tuple[int, int], span: float, options: SyntheticOptions):
        self._rng, self._size, self._span, self._options = rng, size, span, options
        self.background = Background(rng, size, options)
        self.view = View(rng, size, options.camera)
        self.photometry = Photometry(rng, options, size)
        self._placed: list[tuple[np.ndarray, float]] = []
        objects = self._objects()
        others = [self._distractor(objects) for _ in range(self._between(options.distractors))]
        items = objects + others
        self.items: list[Item] = [items[i] for i in rng.permutation(len(items))]
        if rng.random() < options.occluder:
            self.items.append(self._occluder())

    def _objects(self) -> list[Item]:
        options, rng = self._options, self._rng
        items = []
        for number in range(self._between(options.objects)):
            late = number > 0 and rng.random() < options.late
            away = not late and rng.random() < options.leave
            names = options.later_classes if number and options.later_classes else options.classes
            name = str(rng.choice(names))
            items.append(self._item(name, self._sprite(name), self._absence(late, away)))
        return items

    def _distractor(self, objects: list[Item]) -> Item:
        model = objects[int(self._rng.integers(len(objects)))]
        copy = self._rng.random() < self._options.copies
        sprite = model.sprite if copy else self._sprite(model.category)
        away = self._rng.random() < self._options.leave
        return self._item(None, sprite, self._absence(False, away))

    def _occluder(self) -> Item:
        side = max(self._size) * self._rng.uniform(0.4, 0.8)
        sprite = occluder_sprite(self._rng, side, self._options.textures, self._options.colour)
        return self._item(None, sprite, None, roam=0.45, tries=8, may_exceed=True)

    def _sprite(self, name: str) -> Sprite:
        low, high = np.log(self._options.scale)
        side = float(np.exp(self._rng.uniform(low, high))) * min(self._size)
        return object_sprite(CLASS_BY_NAME[name], self._rng, side, self._between(self._options.parts),
                             self._options.textures, self._options.colour)

    def _item(self, category: str | None, sprite: Sprite, absence: Absence | None, roam: float = 0.2,
              tries: int = 3, may_exceed: bool = False) -> Item:
        # An elongated object may be longer than the picture: smaller, then.
        factor = 1.0 if may_exceed else min(1.0, 0.62 * min(self._size) / sprite.radius)
        reach = sprite.radius * factor
        track = self._free_track(factor, reach, absence, roam, tries)
        amplitude = self._options.deform * self._rng.uniform(0.0, 0.16) * sprite.radius
        warp = Warp(self._rng, amplitude, max(2 * sprite.radius, 6 * amplitude))
        return Item(category, sprite, track, warp, 1.5 * amplitude)

    def _free_track(self, factor: float, reach: float, absence: Absence | None, roam: float, tries: int) -> Track:
        """The best of a few random tracks: the one that starts farthest from the things that are there already."""
        best, best_room = None, -np.inf
        for _ in range(tries):
            anchor = self._rng.uniform(*_ANCHOR, 2) * np.array([self._size[1], self._size[0]])
            track = Track(self._rng, anchor, self._size, factor, reach, roam=roam, absence=absence)
            place = track(0.0)[:, 2]
            room = min((np.linalg.norm(place - other) / (reach + radius) for other, radius in self._placed),
                       default=np.inf)
            if best is None or room > best_room:
                best, best_room, best_place = track, room, place
        self._placed.append((best_place, reach))
        return best

    def _absence(self, late: bool, away: bool) -> Absence | None:
        span, rng = self._span, self._rng
        if span <= 0 or not (late or away):
            return None
        every = min(span, _LONGEST_PERIOD * rng.uniform(0.6, 1.0))
        slide = min(_SLOWEST_SLIDE, 0.25 * every)
        if late:
            return Absence(enter=rng.uniform(0.3, 0.75) * every, slide=slide)
        gone = min(rng.uniform(0.1, 0.25) * every, _LONGEST_ABSENCE)
        leave = slide + gone / 2 + rng.uniform(0.05, 0.3) * every
        return Absence(leave=leave, away=gone, every=every, slide=slide)

    def _between(self, pair: tuple[int, int]) -> int:
        return int(self._rng.integers(pair[0], pair[1] + 1))
