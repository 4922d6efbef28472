"""What sparse convolutions keep of a video between frames, row by row, in ``VideoState.layers``."""

from collections.abc import Collection, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ...frame_run import FrameRun, current_run

if TYPE_CHECKING:
    from .... import ops


@dataclass
class Kept:
    """What a layer keeps for the next frame.

    Attributes:
        signature: form of the features, dtype and shape (C, H, W) of the input; another one makes them useless.
        keys: whose row is whose: ``b`` for layers that run per frame, else those of :class:`~vosplug.structures.Rows`.
        tensors: named tensors with one row per key.
    """

    signature: tuple
    keys: tuple[Hashable, ...]
    tensors: dict[str, Tensor]

    def drop(self, keys: Collection[Hashable]) -> None:
        """Forget rows, of objects that are gone for instance."""
        stay = [row for row, key in enumerate(self.keys) if key not in keys]
        if len(stay) < len(self.keys):
            self.tensors = {name: tensor.index_select(0, torch.tensor(stay, dtype=torch.long, device=tensor.device))
                            for name, tensor in self.tensors.items()}
            self.keys = tuple(self.keys[row] for row in stay)

    def with_rows(self, keys: tuple[Hashable, ...], tensors: dict[str, Tensor], in_place: Collection[str]) -> "Kept":
        """These rows and newer values of some of them, or of new ones.

        Args:
            keys: of the R rows of ``tensors``.
            tensors: of the same names.
            in_place: names of tensors that may be written to.
        """
        places = {key: row for row, key in enumerate(self.keys)}
        known = [row for row, key in enumerate(keys) if key in places]
        new = [row for row, key in enumerate(keys) if key not in places]
        result = {}
        for name, fresh in tensors.items():
            source = torch.tensor(known, dtype=torch.long, device=fresh.device)
            index = torch.tensor([places[keys[row]] for row in known], dtype=torch.long, device=fresh.device)
            held, values = self.tensors[name], fresh.index_select(0, source)
            write = held.index_copy_ if name in in_place and is_writable(held) else held.index_copy
            held = write(0, index, values)
            if new:
                more = torch.tensor(new, dtype=torch.long, device=fresh.device)
                held = torch.cat([held, fresh.index_select(0, more)])
            result[name] = held
        return Kept(self.signature, (*self.keys, *(keys[row] for row in new)), result)


def run_of(layer: nn.Module) -> FrameRun | None:
    """The run in which ``layer`` may reuse features; None outside of a run, and for rows that are nobody's.

    Raises:
        RuntimeError: the rows of the layer are those of objects, and nobody said of which.
    """
    run = current_run()
    if run is None or run.nobody:
        return None
    if run.rows is None and not layer.per_frame:
        raise RuntimeError(f"{layer.name}: it runs once per row, and nobody said whose rows these are: call it inside "
                           "run.whose(rows), or run.whose(None) for rows that are nobody's")
    return run


def keys_of(layer: nn.Module, x: Tensor, run: FrameRun) -> tuple[Hashable, ...]:
    """Whose rows the input ``x`` of ``layer`` has."""
    keys = tuple(range(run.state.batch_size)) if layer.per_frame else run.rows.keys
    if len(keys) != len(x):
        raise RuntimeError(f"{layer.name}: an input of {len(x)} rows came where {len(keys)} "
                           f"{'frames' if layer.per_frame else 'rows of objects'} are processed (rows that are "
                           "nobody's are processed inside run.whose(None))")
    return keys


def recall(layer: nn.Module, x: Tensor, run: FrameRun, form: str) -> tuple[dict[str, Tensor], Tensor | None] | None:
    """Previous tensors of ``layer`` in the order of the rows of ``x``, and which rows (N,) have any (None: all).

    None where no row has previous features of this form, type and size.
    """
    keys, kept = keys_of(layer, x, run), run.state.layers.get(layer.name)
    if kept is None or kept.signature != signature(x, form):
        return None
    if kept.keys == keys:
        return kept.tensors, None
    places = {key: row for row, key in enumerate(kept.keys)}
    rows = [places.get(key, -1) for key in keys]
    if all(row < 0 for row in rows):
        return None
    known = torch.tensor([row >= 0 for row in rows], device=x.device)
    index = torch.tensor([max(row, 0) for row in rows], device=x.device)
    found = {name: tensor.index_select(0, index) for name, tensor in kept.tensors.items()}
    return found, None if min(rows) >= 0 else known


def keep(layer: nn.Module, x: Tensor, run: FrameRun, form: str, tensors: dict[str, Tensor],
         in_place: Collection[str] = ()) -> None:
    """Keep tensors of the rows of ``x`` for the next frame; rows that are not among them keep what they have.

    Args:
        in_place: names of tensors that the layer may write to from now on.
    """
    keys, kept = keys_of(layer, x, run), run.state.layers.get(layer.name)
    fresh = Kept(signature(x, form), keys, tensors)
    if kept is not None and kept.signature == fresh.signature and kept.keys != keys and set(kept.keys) - set(keys):
        fresh = kept.with_rows(keys, tensors, in_place)
    run.state.layers[layer.name] = fresh


def signature(x: Tensor, form: str) -> tuple:
    """What has to be equal for previous features to be of use."""
    device_type = x.device.type
    cast = torch.get_autocast_dtype(device_type) if torch.is_autocast_enabled(device_type) else None
    return (form, cast or x.dtype, *x.shape[1:])


def is_writable(tensor: Tensor) -> bool:
    """Whether a kept tensor can be written to: not where inference mode, in which it was made, was left since."""
    return torch.is_inference_mode_enabled() or not tensor.is_inference()


def sites_of(policy: Tensor) -> "ops.Sites":
    """The computed sites of a policy (N, H, W): found once per frame for layers whose policies are equal."""
    from .... import ops

    shared = current_run().shared
    held = shared.get(("sites", policy.shape))
    if held is None or not (held.policy is policy or torch.equal(held.policy, policy)):
        held = shared["sites", policy.shape] = ops.Sites.from_policy(policy)
    return held
