"""What a reuse gate decided on the present frame, for people who look at a video."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from torch import nn

from ..structures import Decision, StepOutput
from ..utils.errors import InputError
from ..visualization.marks import Mark, draw_marks


class GateMarks:
    """A mark per object (or group of objects that decide together): reused with which probability, or computed.

    Attributes:
        marks: of the frame that was segmented last.
    """

    def __init__(self):
        self.marks: list[Mark] = []

    def see(self, output: StepOutput) -> None:
        """Take a frame; objects that start on it are computed."""
        found = {}
        for note in output.noted(Decision):
            for (_, name), reused, chance, forced in zip(note.keys, note.reused.tolist(), note.probability.tolist(),
                                                         note.forced.tolist(), strict=True):
                found[name] = f"{name} {'reused' if reused else 'computed'}" + ("" if forced else f" {chance:.2f}")
        if all(isinstance(name, int) for name in found):
            for value in output.ids:
                found.setdefault(value, f"{value} computed")
        self.marks = [Mark(text, name if isinstance(name, int) else 0) for name, text in found.items()]

    def draw(self, image: np.ndarray) -> np.ndarray:
        """The picture (H, W, 3) uint8 with the marks of the last frame in its corner."""
        return draw_marks(image, self.marks)


@contextmanager
def gate_marks(model: nn.Module) -> Iterator[GateMarks]:
    """Follow what a model decides.

    Raises:
        InputError: it has no reuse gate.
    """
    if not hasattr(model, "force_rate"):
        raise InputError(f"--show-gate: {type(model).__name__} has no reuse gate")
    marks = GateMarks()
    model.observers.append(marks.see)
    try:
        yield marks
    finally:
        model.observers.remove(marks.see)
