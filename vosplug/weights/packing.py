"""Making weights small enough to ship."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..utils.checkpoint import load_checkpoint_file, model_state, save_checkpoint_file


def halved(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights in float16; vectors (norms, biases) stay as they are, as some of theirs are out of its range."""
    return {name: value.half() if value.is_floating_point() and value.ndim > 1 else value
            for name, value in state.items()}


def pack(source: str | os.PathLike, target: str | os.PathLike, **about: Any) -> str:
    """Write the weights of a checkpoint for shipping; return the SHA-256 of the file.

    Args:
        source: a checkpoint of a training run.
        target: where to write.
        about: plain values that are kept beside the weights.
    """
    state = halved(model_state(load_checkpoint_file(source)))
    save_checkpoint_file({"state_dict": state, "meta": about}, target)
    return digest(target)


def digest(path: str | os.PathLike) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
