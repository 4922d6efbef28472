"""Checkpoints: the only place of the project that reads or writes them.

A file that comes from elsewhere is never unpickled: reading goes through ``torch.load(weights_only=True)``, and what is
written holds nothing but tensors and plain Python values, so that it can be read back that way.
"""

import numbers
import os
import warnings
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .errors import CheckpointError, OutputError
from .files import atomic_write

SHOWN = 4
HOLDERS = ("state_dict", "model", "model_state_dict")
"""Keys under which checkpoints hold their weights."""
PREFIXES = ("module.", "_orig_mod.", "model.")
CONVERT_HINT = "convert it with tools/convert_checkpoint.py"


class Stranger:
    """Stands for an object of a file that is not read: nothing of it is executed, and it holds nothing."""

    def __init__(self, *args, **kwargs):
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def load_checkpoint_file(path: str | os.PathLike, map_location: Any = "cpu", *, strangers: bool = False) -> dict:
    """Read a checkpoint without executing anything that it contains.

    Args:
        path: of the file.
        map_location: see :func:`torch.load`.
        strangers: objects of other classes, such as the statistics of a training, are read as :class:`Stranger`.

    Raises:
        CheckpointError: the file is missing, is damaged, or holds objects other than tensors and plain values.
    """
    path = Path(path)
    if not path.exists():
        raise CheckpointError(f"checkpoint not found: {path}")
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder, a checkpoint file was expected")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected pickle protocol")  # any protocol is read as safely
            inert = _strangers(path) if strangers else []
            with torch.serialization.safe_globals(inert):
                checkpoint = torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:
        raise CheckpointError(_reading_failed(path, error)) from error
    if not isinstance(checkpoint, Mapping):
        raise CheckpointError(f"{path} holds a {type(checkpoint).__name__}, a dict of weights was expected")
    return dict(checkpoint)


def _strangers(path: Path) -> list[tuple[type, str]]:
    """What stands for the classes and functions of a file that are not known to be harmless."""
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except ValueError:  # a file of an old format, of which torch lists none
        return []
    return [(Stranger, name) for name in names]


def _reading_failed(path: Path, error: Exception) -> str:
    text = str(error)
    # These are how torch tells that a readable pickle asks for something that it does not allow.
    forbidden = ("Unsupported global", "Unsupported class", "Trying to", "Can only")
    if isinstance(error, PermissionError):
        return f"checkpoint {path} cannot be read: permission denied"
    if "eights_only" in text and any(word in text for word in forbidden):
        return (f"checkpoint {path} is refused: it contains Python objects that would run code when loaded; save it "
                "again with plain tensors only, where you trust it: torch.save({'state_dict': torch.load(FILE, "
                "weights_only=False)[KEY]}, OTHER)")
    if _is_bare_pickle(path):
        return (f"checkpoint {path} is refused: it is a plain Python pickle, which could run code when loaded; save "
                "its weights again by torch.save")
    return f"checkpoint {path} is damaged, incomplete, or not a checkpoint at all ({type(error).__name__})"


def _is_bare_pickle(path: Path) -> bool:
    """Whether a file begins like a pickle of a protocol that torch does not write."""
    try:
        with open(path, "rb") as stream:
            begin = stream.read(2)
    except OSError:
        return False
    return len(begin) == 2 and begin[0] == 0x80 and 3 <= begin[1] <= 5


def model_state(checkpoint: Mapping[str, Any], known: Container[str] = ()) -> dict[str, Tensor]:
    """Weights by name of a bare state dict or of one under ``state_dict`` or ``model``.

    Prefixes that wrappers leave (``module.`` of several devices, ``_orig_mod.`` of ``torch.compile``, ``model.`` of
    training frameworks) are removed where all names have them.

    Args:
        checkpoint: the content of a file.
        known: names of the model, none of which is taken for one with a prefix.

    Raises:
        CheckpointError: there are no weights, or an entry is not a tensor.
    """
    state = next((checkpoint[key] for key in HOLDERS if isinstance(checkpoint.get(key), Mapping)), checkpoint)
    if not isinstance(state, Mapping) or not state:
        raise CheckpointError(f"the checkpoint holds no weights; its keys: {_shown(map(str, checkpoint))}")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise CheckpointError(f"the checkpoint is not a state dict: its entry {name!r} is a {type(value).__name__},"
                                  " a tensor was expected")
    return without_prefixes(state, known)


def without_prefixes(state: Mapping[str, Tensor], known: Container[str] = ()) -> dict[str, Tensor]:
    """Weights by names without the prefixes of wrappers that all of them have; names in ``known`` stay."""
    state = dict(state)
    while not any(name in known for name in state):
        prefix = next((p for p in PREFIXES if all(name.startswith(p) for name in state)), None)
        if prefix is None:
            break
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def load_weights(model: nn.Module, source: str | os.PathLike | Mapping[str, Any],
                 strict: bool = True) -> Mapping[str, Any]:
    """Copy weights into ``model``; returns the checkpoint.

    Args:
        model: the model; a wrapper for several processes is looked through.
        source: path of a checkpoint, or what :func:`load_checkpoint_file` returned.
        strict: every parameter of the model must be in the checkpoint and the reverse. Without it, keys that one side
            lacks are skipped; shapes have to fit in any case.

    Raises:
        CheckpointError: names or shapes do not fit, or weights are not numbers; the model is left as it was.
    """
    from_file = isinstance(source, (str, os.PathLike))
    checkpoint = load_checkpoint_file(source) if from_file else source
    where = f"checkpoint {source}" if from_file else "the checkpoint"
    model = unwrapped(model)
    own = model.state_dict()
    state = model_state(checkpoint, own)
    missing = [name for name in own if name not in state]
    unexpected = [name for name in state if name not in own]
    common = [name for name in own if name in state]
    shapes = [f"{n} {tuple(state[n].shape)} instead of {tuple(own[n].shape)}" for n in common
              if state[n].shape != own[n].shape]
    faults = _faults(missing, unexpected, shapes) if strict else _faults([], [], shapes)
    if not common:
        faults = faults or ["no weight of the model is in it"]
    if faults:
        advice = "use the config that it was trained with"
        if len(common) < len(own) / 2:
            advice = f"if it comes from another code base or family, {CONVERT_HINT}"
        raise CheckpointError(f"{where} does not fit {type(model).__name__}: {'; '.join(faults)}; {advice}")
    broken = [name for name in common if state[name].is_floating_point() and bool(state[name].isnan().any())]
    if broken:
        raise CheckpointError(f"{where}: weights are not finite numbers (NaN): {_shown(broken)}; the training that "
                              "wrote it has failed, use an earlier checkpoint")
    model.load_state_dict({name: state[name] for name in common}, strict=strict)
    return checkpoint


def classes_of(checkpoint: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Names of the classes that a training wrote into its checkpoint; None if there are none."""
    meta = checkpoint.get("meta")
    names = meta.get("classes") if isinstance(meta, Mapping) else None
    return tuple(map(str, names)) if isinstance(names, (list, tuple)) and names else None


def with_new_parts(model: nn.Module, state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Weights of a model that lacks parts of ``model``, completed by these as they are.

    Only parts say so themselves (``starts_anew = True``) that may be put into a trained model, such as the offset
    networks of deformable attention: before they are trained, they leave it what it is.

    Returns:
        The weights, and the names of those that were added.
    """
    own = unwrapped(model)
    new = [f"{name}.{key}" for name, part in own.named_modules() if getattr(part, "starts_anew", False)
           for key in part.state_dict() if f"{name}.{key}" not in state]
    found = own.state_dict()
    return {**state, **{name: found[name] for name in new}}, new


def _faults(missing: list[str], unexpected: list[str], shapes: list[str]) -> list[str]:
    kinds = (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes))
    return [f"{len(names)} {kind} ({_shown(names)})" for kind, names in kinds if names]


def _shown(names: Any) -> str:
    names = list(names)
    rest = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f", and {rest} more" if rest > 0 else "")


def unwrapped(model: Any) -> Any:
    """The model inside wrappers for several devices or processes, and for compilation."""
    while True:
        if isinstance(model, (nn.parallel.DistributedDataParallel, nn.DataParallel)):
            model = model.module
        elif isinstance(model, nn.Module) and "_orig_mod" in model._modules:
            model = model._orig_mod
        else:
            return model


def save_checkpoint_file(checkpoint: Mapping[str, Any], path: str | os.PathLike) -> None:
    """Write ``checkpoint`` atomically: a process that is killed here leaves the old file or the new one.

    Tensors are moved to the CPU. Only tensors and plain Python values are accepted.

    Raises:
        CheckpointError: an entry is of another type.
        OutputError: the file cannot be written, or the disk is full.
    """
    plain = _plain(checkpoint, "checkpoint")
    try:
        with atomic_write(path) as stream:
            torch.save(plain, stream)
            stream.flush()
            os.fsync(stream.fileno())
    except RuntimeError as error:  # torch's zip writer hides the reason of a failed write
        raise OutputError(f"cannot write {path}: is the disk full? ({str(error).splitlines()[0]})") from error
    _sync_folder(Path(path).parent)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power failure, where the system can do that."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def _plain(value: Any, where: str) -> Any:
    """``value`` made of tensors on the CPU, dicts, lists, tuples and plain values only."""
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if value is None or isinstance(value, (bool, str, bytes)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if isinstance(value, Mapping):
        return {_plain(key, where): _plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_plain(item, f"{where}[{number}]") for number, item in enumerate(value)]
        return tuple(items) if isinstance(value, tuple) else items
    raise CheckpointError(f"{where} is a {type(value).__name__}: only tensors and plain values can be saved")
