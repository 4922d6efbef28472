"""Golden manifests: what an official implementation computed from known inputs and weights."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import ConfigDict

from ..utils.errors import DataError
from .compare import Row, compare
from .fill import checksum, fill_state_dict
from .tiny import compare_numbers, made_clip, stored, unpacked

NEEDED = ("name", "inputs", "outputs", "tolerance", "source")
NEEDED_INSIDE = (("inputs", "file"), ("source", "repository"))
TINY_INSIDE = (("inputs", "clip"), ("source", "repository"))
OF_MODELS = ("hyperparameters", "state_dict", "fill")
INSIDE_MODELS = (("hyperparameters", "num_frames"), ("fill", "checksum"), ("tolerance", "float64"))
WEIGHTS = ("state_dict", "fill")
TABLE = "sizes"  # of manifests without a model: sizes (H, W) before and after preprocessing


@dataclass(frozen=True)
class Manifest:
    """One manifest with its arrays.

    Attributes:
        path: of the JSON file.
        spec: its content.
        expected: the stored outputs by name.
        inputs: arrays of the input file (``frames``, ``mask1``, ...).
        taken: option of the shipped config that is not used as it stands -> its value there, and the one of the run.
    """

    path: Path
    spec: dict[str, Any]
    expected: dict[str, np.ndarray]
    inputs: dict[str, np.ndarray]
    taken: dict[str, tuple[Any, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: str | Path) -> "Manifest":
        """Read a manifest; arrays and inputs lie in the same folder, or a tiny one says how they are made.

        Raises:
            DataError: something is missing or damaged.
        """
        path = Path(path)
        try:
            spec = json.loads(path.read_text())
        except FileNotFoundError as error:
            raise DataError(f"manifest not found: {path}") from error
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise DataError(f"{path} is not a readable JSON file: {error}") from error
        model = not isinstance(spec, dict) or is_of_model(spec)
        tiny = isinstance(spec, dict) and is_tiny(spec)
        needed, inside = NEEDED, TINY_INSIDE if tiny else NEEDED_INSIDE
        if model:
            needed, inside = needed + OF_MODELS, inside + INSIDE_MODELS
        missing = [key for key in needed if key not in spec] if isinstance(spec, dict) else list(needed)
        missing += [f"{key}.{inner}" for key, inner in inside
                    if not missing and not (isinstance(spec[key], dict) and inner in spec[key])]
        if missing:
            raise DataError(f"{path} is not a golden manifest of a model: it lacks {', '.join(missing)}")
        if tiny:
            return cls.of_tiny(path, spec)
        expected = read_arrays(path.with_suffix(".npz"))
        if TABLE in spec:
            expected[TABLE] = np.array([row["output"] for row in spec[TABLE]])
        return cls(path, spec, expected, read_arrays(path.parent / f"{spec['inputs']['file']}.npz"))

    @classmethod
    def of_tiny(cls, path: Path, spec: dict[str, Any]) -> "Manifest":
        """A manifest whose clip is made, whose weights' names are packed, and which holds samples of its outputs.

        Raises:
            DataError: something is missing or damaged.
        """
        try:
            clip = spec["inputs"]["clip"]
            inputs = made_clip(clip["frames"], tuple(clip["size"]), clip["objects"])
            expected = {name: stored(entry, f"{path}: {name}") for name, entry in spec["outputs"].items()}
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}: the clip or an output is damaged: {error!r}") from error
        spec = {**spec, "state_dict": unpacked(spec["state_dict"], f"{path}: state_dict")}
        return cls(path, spec, expected, inputs)

    def compare(self, name: str, ours: Any, tolerance: dict[str, Any]) -> Row:
        """Compare one tensor of ours with what is stored of it, see :func:`~.compare.compare`."""
        if is_tiny(self.spec):
            return compare_numbers(name, ours, self.spec["outputs"][name], self.expected[name], tolerance)
        return compare(name, ours, self.expected[name], tolerance)

    @property
    def family(self) -> str:
        """Name of the source repository in lower case: which parity run and which converter serve it."""
        return self.spec["source"]["repository"].rstrip("/").rpartition("/")[2].lower()

    @property
    def has_model(self) -> bool:
        """Whether a model was run, or something without weights."""
        return "state_dict" in self.spec

    @property
    def tolerance(self) -> dict[str, Any]:
        """Bounds of a run in the precision that the outputs were made in, see :func:`~.compare.compare`.

        Some are stated in words: the share of labels that may differ, the mean difference of pictures.
        """
        stated = self.spec["tolerance"]
        bounds = {"max_abs": 0.0, "max_rel_to_peak": 0.0, **(stated.get("float64") or stated.get("float32") or {})}
        share = re.search(r"up to ([-+.e\d]+) of the pixels", bounds.get("labels", ""))
        mean = re.search(r"(\w+): mean absolute difference below ([.\d]+)", stated.get("note", ""))
        return {**bounds, "share": float(share[1]) if share else 0.0, "mean": {mean[1]: float(mean[2])} if mean else {}}

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """Hyper-parameters of the source's run."""
        return self.spec["hyperparameters"]

    def adapt(self, model: ConfigDict, changes: Mapping[str, Any]) -> None:
        """Give a shipped config the values of the source's run; what differs is noted in ``taken``.

        Args:
            model: the config's ``model``.
            changes: dotted name of an option -> its value in the run.
        """
        for name, value in changes.items():
            *parents, key = name.split(".")
            node = reduce(getitem, parents, model)
            shipped, node[key] = node.get(key), value
            if plain(shipped) != plain(node[key]):
                self.taken[name] = plain(shipped), plain(node[key])

    def frames(self) -> np.ndarray:
        """(T, H, W, 3) uint8 RGB."""
        return self.inputs["frames"][: self.hyperparameters["num_frames"]]

    def label(self) -> np.ndarray:
        """(H, W) uint8 ids of frame 0."""
        return self.array(self.spec["inputs"].get("label") or f"mask{self.hyperparameters['num_objects']}")

    def array(self, name: str) -> np.ndarray:
        """An array of the input file by name."""
        if name not in self.inputs:
            raise DataError(f"{self.path}: the input file has no array {name!r}")
        return self.inputs[name]

    def weights(self) -> dict[str, np.ndarray]:
        """Weights by the names of the source, made by the rule and checked.

        Raises:
            DataError: the checksum differs from the manifest's.
        """
        fill = self.spec["fill"]
        state = fill_state_dict(self.spec["state_dict"], fill.get("gains"), fill.get("offsets"))
        found = checksum(state)
        if found != fill["checksum"]:
            raise DataError(f"{self.path}: weights made by the rule have checksum {found}, expected {fill['checksum']}")
        return state


def plain(value: Any) -> Any:
    """A value of a config as JSON knows it, so that lists and tuples of the same values are equal."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def is_tiny(spec: dict[str, Any]) -> bool:
    """Whether a manifest needs no other file."""
    return isinstance(spec.get("inputs"), dict) and "clip" in spec["inputs"]


def is_of_model(spec: dict[str, Any]) -> bool:
    """Whether a manifest has weights, or a clip that was run; others are of preprocessing and the like."""
    settings = spec.get("hyperparameters")
    return any(key in spec for key in WEIGHTS) or isinstance(settings, dict) and "num_frames" in settings


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an ``.npz`` file, read without unpickling."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError as error:
        raise DataError(f"array file not found: {path}") from error
    except Exception as error:
        raise DataError(f"{path} is not a readable .npz file: {error}") from error
