"""Segmenting videos in a few lines of Python."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..utils.checkpoint import unwrapped
from ..utils.errors import ConfigError, InputError
from ..utils.listing import number_of
from ..weights import VOS, ShippedModel
from .mask_source import MaskSource
from .model_loading import as_config, build_segmentor, method_of, model_type, session_defaults
from .opening import open_reader, open_writer
from .readers import Frame, FrameReader
from .session import new_session


@dataclass
class Summary:
    """What was done.

    Attributes:
        frames: number of frames segmented.
        seconds: time spent in the model, reading and writing not counted.
        size: (H, W) of the frames.
        ids: ids of all objects of the video.
    """

    frames: int = 0
    seconds: float = 0.0
    size: tuple[int, int] | None = None
    ids: tuple[int, ...] = ()

    @property
    def fps(self) -> float | None:
        """Frames per second of the model; None without frames."""
        return self.frames / self.seconds if self.seconds else None


class Inferencer:
    """What segments videos with one model.

    Args:
        config: path or name of a config, a loaded config, or a model (or baseline) that is ready; None for the model
            that comes with vosplug, where there is one.
        checkpoint: weights; needed with a config.
        device: device of the model; by default a GPU if there is one.
        session_options: options of the session, over those that the config states.

    Raises:
        ConfigError, CheckpointError: the model cannot be built or loaded, or is of another family.
        InputError: no checkpoint is given, or no model comes with vosplug.

    Attributes:
        shipped: the model that comes with vosplug.
    """

    family: ClassVar[str]
    shipped: ClassVar[ShippedModel | None] = None

    def __init__(self, config: Any = None, checkpoint: str | os.PathLike | None = None, *, device: Any = None,
                 session_options: Mapping[str, Any] | None = None):
        if config is None:
            config, checkpoint = self._default(checkpoint)
        if isinstance(config, (str, os.PathLike, Mapping)) or hasattr(config, "filename"):
            if checkpoint is None:
                raise InputError(f"{type(self).__name__} needs a checkpoint: the weights of a fresh model are random")
            config = as_config(config)
            if "model" in config:
                self._check_family(model_type(config), method_of(config))
            defaults = session_defaults(config)
            self.model = build_segmentor(config, checkpoint, device=device or default_device())
        else:
            if checkpoint is not None:
                raise InputError(f"{type(self).__name__} was given a model, so it takes no checkpoint")
            config = unwrapped(config)
            self._check_family(config, type(config).__name__)
            self.model = config
            defaults = {} if device is None else {"device": device}
        self.session_options = {**defaults, **(session_options or {})}

    def _default(self, checkpoint: Any) -> tuple[str, Path]:
        """Config and weights of the model that comes with vosplug."""
        name = type(self).__name__
        if checkpoint is not None:
            raise InputError(f"{name} was given a checkpoint without its config")
        if self.shipped is None:
            raise InputError(f"{name} needs a config and a checkpoint: no such model comes with vosplug")
        return self.shipped.config, self.shipped.path

    def _check_family(self, model: Any, name: str) -> None:
        family = getattr(model, "family", self.family)
        if family != self.family:
            raise ConfigError(f"{name} is no model for {type(self).__name__}: use {family.upper()}Inferencer")


class VOSInferencer(Inferencer):
    """Follows the objects whose first masks are given, with one model; see :class:`Inferencer` for the arguments.

    >>> segment = VOSInferencer()  # doctest: +SKIP
    >>> segment("dog.mp4", "first_mask.png", out="dog_overlay.mp4")  # doctest: +SKIP

    ``session_options`` are those of :class:`VOSSession`: ``max_short_side``, ``scales``, ``flip``, ``amp``, ...
    """

    family = "vos"
    shipped = VOS

    def __call__(self, source: Any, mask: Any, *, out: Any, prefetch: int = 4, binary: bool = False,
                 known_ids: str = "refuse", on_frame: Callable[[Frame, np.ndarray], None] | None = None) -> Summary:
        """Segment a video and write the result.

        Args:
            source: whatever :func:`open_reader` takes: a video file, a folder of images, the number of a camera, ...
            mask: masks of objects, see :class:`MaskSource`.
            out: where to write, see :func:`open_writer`; several in a list.
            prefetch: frames to read ahead.
            binary, known_ids: see :class:`MaskSource`.
            on_frame: called after each frame with the frame and its labels.

        Returns:
            Numbers of the run.

        Raises:
            VosplugError: the input cannot be read (further), or the output cannot be written. Outputs are finished with
                the frames so far.
        """
        summary = Summary()
        with contextlib.ExitStack() as stack:
            reader = stack.enter_context(open_reader(source, prefetch=prefetch))
            masks = MaskSource(mask, binary=binary, known_ids=known_ids)
            check_outputs(as_list(out), reader, masks)
            writers = [stack.enter_context(open_writer(item, fps=reader.fps)) for item in as_list(out)]
            for frame, labels in self._labels(reader, masks, summary):
                for writer in writers:
                    writer.write(frame, labels)
                if on_frame is not None:
                    on_frame(frame, labels)
        return summary

    def stream(self, source: Any, mask: Any, *, prefetch: int = 4, binary: bool = False,
               known_ids: str = "refuse") -> Iterator[tuple[Frame, np.ndarray]]:
        """As calling, but yield every frame with its labels (H, W) uint8 instead of writing them."""
        with open_reader(source, prefetch=prefetch) as reader:
            yield from self._labels(reader, MaskSource(mask, binary=binary, known_ids=known_ids), Summary())

    def _labels(self, reader: FrameReader, masks: MaskSource, summary: Summary) -> Iterator[tuple[Frame, np.ndarray]]:
        session = new_session(self.model, **self.session_options)
        if reader.names is not None:
            masks.check_frames(reader.names)
        for frame in reader:
            # Only folders know for sure which frame is the last one; looking ahead would delay a camera.
            last = reader.named and frame.index + 1 == reader.num_frames
            labels, ids = masks.get(frame, session.ids, named=reader.named) or (None, None)
            begin = time.perf_counter()
            result = session.step(frame.image, labels, ids, last=last, correct=masks.corrects)
            summary.seconds += time.perf_counter() - begin
            summary.frames += 1
            summary.size, summary.ids = session.size, session.ids
            yield frame, result
        if reader.complete and summary.frames:
            masks.refuse_unused(summary.frames)
        else:
            masks.warn_unused()


def as_list(value: Any) -> Sequence[Any]:
    """Several outputs, or one, as a list."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


def check_outputs(outputs: Sequence[Any], reader: FrameReader, masks: MaskSource | None = None) -> None:
    """Raise :class:`InputError` if an output would overwrite frames or masks that are read."""
    given = [] if masks is None else [Path(v) for v in masks.masks.values() if isinstance(v, (str, Path))]
    inputs = {path.resolve() for path in (reader.path, *given) if path is not None}
    for path in given:  # files that a folder of masks would replace
        if number_of(path.stem) is not None or path.stem in (reader.names or ()):
            inputs.add(path.resolve().parent)
    for out in outputs:
        if isinstance(out, (str, Path)) and Path(out).resolve() in inputs:
            raise InputError(f"output {out} is an input too, which would be overwritten: choose another name")


def default_device() -> str:
    """``cuda`` if a GPU can be used, else ``cpu``."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
