"""What sparse convolutions know of the frame they work on: previous features, which rows are whose, dense or not."""

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .... import ops

_current: ContextVar["FrameContext | None"] = ContextVar("sparse_context", default=None)


@dataclass
class Kept:
    """What a layer keeps of a frame for the next one, in ``VideoState.cache`` under the name of the layer.

    Attributes:
        signature: kind, dtype and shape (C, H, W) of the input; another one makes it useless.
        keys: whose row is whose: ``b`` for layers that run per frame, ``(b, object id)`` for those per object.
        tensors: named tensors with one row per key, or of any shape where the layer recalls them whole.
        lent: another layer holds on to the kept output: it must not be written to.
    """

    signature: tuple
    keys: tuple[Hashable, ...]
    tensors: dict[str, Tensor]
    lent: bool = False


@dataclass
class Work:
    """What a layer did for one frame.

    Attributes:
        layer: its name.
        cost: multiply-accumulates of the convolution per site.
        gate_macs: multiply-accumulates of the gate, in total.
        sites: N * H_out * W_out.
        policy: (N, H_out, W_out) uint8, 0 skipped, 1 reused, 2 computed; None for a frame that was processed densely.
        chosen: in training, the number of sites that the gate chose to compute, differentiable; only of rows that had
            previous features, since the others leave no choice.
        decided: number of sites that ``chosen`` counts among.
        repeated: number of reused sites whose output was computed again, since the layer keeps inputs.
    """

    layer: str
    cost: int
    gate_macs: int
    sites: int
    policy: Tensor | None = None
    chosen: Tensor | None = None
    decided: int = 0
    repeated: int = 0

    def counts(self) -> tuple[int, int, int]:
        """Number of sites that were (skipped, reused, computed)."""
        if self.policy is None:
            return 0, 0, self.sites
        skipped, reused = (int((self.policy == kind).sum()) for kind in (0, 1))
        return skipped, reused, self.sites - skipped - reused

    @property
    def macs(self) -> int:
        """Multiply-accumulates really done, gate included."""
        return (self.counts()[2] + self.repeated) * self.cost + self.gate_macs

    @property
    def dense_macs(self) -> int:
        """Multiply-accumulates of the dense convolution."""
        return self.sites * self.cost


class FrameContext:
    """The frame that the layers are working on.

    Args:
        store: where layers keep previous features by name, the ``cache`` of the video's state.
        frames: keys of the rows of layers that run once per frame.
        objects: keys of the rows of layers that run once per (video, object) pair.
        dense: no gate decides; everything is computed.
        work: list to which layers append what they did.
        fold: in inference layers fold the norms that follow and update their outputs in place.
    """

    def __init__(self, store: dict, frames: tuple, objects: tuple, dense: bool, work: list[Work], fold: bool = True):
        self.store = store
        self.frames, self.objects = frames, objects
        self.dense = dense
        self.work = work
        self.fold = fold
        self._sites: dict[torch.Size, ops.Sites] = {}

    def sites(self, policy: Tensor) -> "ops.Sites":
        """The computed sites of a policy (N, H, W): found once for layers whose policies are equal."""
        from .... import ops

        held = self._sites.get(policy.shape)
        if held is None or not (held.policy is policy or torch.equal(held.policy, policy)):
            held = self._sites[policy.shape] = ops.Sites.from_policy(policy)
        return held

    def keys(self, layer, rows: int) -> tuple:
        """Whose rows the input of ``layer`` has."""
        keys = self.frames if layer.per_frame else self.objects
        if len(keys) != rows:
            raise RuntimeError(f"{layer.name}: an input of {rows} rows came where {len(keys)} "
                               f"{'frames' if layer.per_frame else 'objects'} are processed")
        return keys

    def recall(self, layer, x: Tensor, kind: str = "plain",
               whole: bool = False) -> tuple[dict[str, Tensor], Tensor | None] | None:
        """Previous tensors of ``layer`` in the order of the rows of ``x``, and which rows have any (None: all).

        None where no row has previous features of this kind, type and size; with ``whole`` also where they are not of
        the same rows, for tensors that cannot be reordered.
        """
        keys = self.keys(layer, len(x))
        kept: Kept | None = self.store.get(layer.name)
        if kept is None or kept.signature != signature(x, kind):
            return None
        if kept.keys == keys:
            return kept.tensors, None
        if whole:
            return None
        places = {key: row for row, key in enumerate(kept.keys)}
        rows = [places.get(key, -1) for key in keys]
        if all(row < 0 for row in rows):
            return None
        known = torch.tensor([row >= 0 for row in rows], device=x.device)
        index = torch.tensor([max(row, 0) for row in rows], device=x.device)
        found = {name: tensor.index_select(0, index) for name, tensor in kept.tensors.items()}
        return found, None if known.all() else known

    def lend(self, x: Tensor) -> Tensor:
        """``x``, which may be a layer's kept output, to hold on to: that layer will leave it alone; else a copy."""
        for kept in self.store.values():
            if isinstance(kept, Kept) and kept.tensors.get("kept") is x:
                kept.lent = True
                return x
        return x.clone()

    def buffer(self, layer, previous: dict[str, Tensor]) -> Tensor:
        """The output that ``layer`` kept, to be written to; a copy where that is not allowed."""
        kept = previous["kept"].contiguous(memory_format=torch.channels_last)
        lent = self.store[layer.name].lent and kept is self.store[layer.name].tensors["kept"]
        frozen = kept.is_inference() and not torch.is_inference_mode_enabled()  # inference mode was left in between
        return kept.clone() if lent or frozen else kept

    def keep(self, layer, x: Tensor, kind: str = "plain", /, **tensors: Tensor) -> None:
        """Keep tensors of ``layer`` for the next frame."""
        self.store[layer.name] = Kept(signature(x, kind), self.keys(layer, len(x)), tensors)


def signature(x: Tensor, kind: str) -> tuple:
    """What has to be equal for previous features to be of use."""
    device_type = x.device.type
    cast = torch.get_autocast_dtype(device_type) if torch.is_autocast_enabled(device_type) else None
    return (kind, cast or x.dtype, *x.shape[1:])


def current() -> FrameContext | None:
    """The frame that is being worked on, None outside of a frame loop."""
    return _current.get()


@contextmanager
def working_on(context: FrameContext | None) -> Iterator[None]:
    """Make ``context`` the current one for the layers that run inside."""
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)
