"""Inputs that users bring, by kind: what a command makes of one, and what has to come out."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.bad_inputs_helpers import CLIP, World, run_line
from vosplug.utils.images import write_image
from vosplug.utils.masks import write_mask

GIVEN = "data/user_inputs"
DEMO = "demo tiny.py tiny.pth"
SIZE = CLIP[0][1].shape


def nothing(world: World) -> None:
    """Nothing to do, or to look at."""


@dataclass(frozen=True)
class Case:
    """One input.

    Attributes:
        kind: what is tried: its number in the list of kinds, and a word.
        what: the input.
        line: the command; ``{given}`` is the folder of inputs that were collected, other paths are in the folder of
            :func:`tests.bad_inputs_helpers.make_world`.
        says: pieces of what is printed.
        status: exit status.
        make: makes the input.
        check: looks at what came out.
        collected: ``make`` uses a collected input, in the folder ``world.given``.
    """

    kind: str
    what: str
    line: str
    says: tuple[str, ...] = ()
    status: int = 0
    make: Callable[[World], Any] = nothing
    check: Callable[[World], Any] = nothing
    collected: bool = False

    @property
    def given(self) -> bool:
        """Whether the input was collected, not made."""
        return self.collected or "{given}" in self.line

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}".replace(" ", "-")


def run_case(case: Case, world: World, capfd: Any, shared: Path | None) -> None:
    """Run the command of a case: the outcome has to be the right one, and nothing half-written may be left."""
    world.given = f"{shared}/{GIVEN}"
    case.make(world)
    capfd.readouterr()
    try:
        status = run_line(case.line.format(given=world.given))
    finally:
        world.restore()
    said = capfd.readouterr()
    lines = said.err.splitlines()
    assert status == case.status, said
    assert "Traceback" not in said.out + said.err
    assert len([line for line in lines if not line.startswith("warning: ")]) <= (status not in (0, 1)), said.err
    for piece in case.says:
        assert piece in said.out + said.err, said
    case.check(world)
    left = [path for path in world.folder.rglob(".*") if path.suffix == ".tmp" or path.name.startswith(".vosplug")]
    assert not left, "something half-written is left"


def frames(folder: str, names: list[str] | None = None, count: int = 4) -> Callable[[World], None]:
    """Pictures of the clip in a folder."""
    def make(world: World) -> None:
        for t, name in enumerate(names or [f"{t:05d}.png" for t in range(count)]):
            write_image(world.folder / folder / Path(name).with_suffix(Path(name).suffix.lower()), CLIP[t % 4][0])
            lower = Path(name).with_suffix(Path(name).suffix.lower())
            (world.folder / folder / lower).rename(world.folder / folder / name)
    return make


def masks(folder: str, names: list[str] | None = None, change: Callable = lambda labels: labels) -> Callable:
    """Masks of the clip in a folder."""
    def make(world: World) -> None:
        for t, name in enumerate(names or [f"{t:05d}.png" for t in range(4)]):
            write_mask(world.folder / folder / name, change(CLIP[t % 4][1]))
    return make


def grey(path: str, array: np.ndarray, **options: Any) -> Callable[[World], None]:
    """A picture of whatever mode the array asks for, by Pillow."""
    def make(world: World) -> None:
        (world.folder / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(world.folder / path, **options)
    return make


def palette(path: str, indices: np.ndarray, colours: list[int]) -> Callable[[World], None]:
    """An index PNG with colours of one's own."""
    def make(world: World) -> None:
        image = Image.fromarray(indices.astype(np.uint8), mode="P")
        image.putpalette(colours)
        (world.folder / path).parent.mkdir(parents=True, exist_ok=True)
        image.save(world.folder / path)
    return make


def davis(root: str, lengths: dict[str, int], change: Callable = lambda labels: labels) -> Callable[[World], None]:
    """A DAVIS tree with sequences of some frames, all in the lists ``train`` and ``val``."""
    def make(world: World) -> None:
        for name, count in lengths.items():
            frames(f"{root}/JPEGImages/480p/{name}", [f"{t:05d}.jpg" for t in range(count)])(world)
            masks(f"{root}/Annotations/480p/{name}", [f"{t:05d}.png" for t in range(count)], change)(world)
        for split in ("train", "val"):
            world.write(f"{root}/ImageSets/2017/{split}.txt", "\n".join(lengths) + "\n")
    return make


def numbers(path: str) -> Callable[[World], dict]:
    """The content of a JSON file."""
    return lambda world: json.loads((world.folder / path).read_text())


def expect(path: str, **values: Any) -> Callable[[World], None]:
    """What has to stand in a JSON file, numbers to the third decimal."""
    def check(world: World) -> None:
        found = numbers(path)(world)
        for key, value in values.items():
            key = key.replace("__", "&").replace("_", "-") if key not in found else key
            assert found[key] == (value if not isinstance(value, float) else _near(value)), (key, found[key])
    return check


def _near(value: float) -> Any:
    import pytest

    return pytest.approx(value, abs=6e-4)


def ids_of_first_frame(path: str, *ids: int) -> Callable[[World], None]:
    """The objects of the first frame in an output of run lengths."""
    def check(world: World) -> None:
        assert sorted(map(int, numbers(path)(world)["frames"][0]["objects"])) == list(ids)
    return check


def files(folder: str, *names: str, count: int | None = None) -> Callable[[World], None]:
    """Files that have to be in a folder, and their number."""
    def check(world: World) -> None:
        found = sorted(path.name for path in (world.folder / folder).iterdir())
        assert not set(names) - set(found) and count in (None, len(found)), found
    return check
