"""Parameters, memory and multiply-accumulates of a model, by running it."""

import copy
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count as count_from

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ..structures import Prompt, VideoState, Work
from .sparsity import SparsityReport, sparse_layers

FRAME_KINDS = ("first", "query", "memory")


@dataclass
class Complexity:
    """What a model weighs and does.

    Attributes:
        params: number of trainable and frozen parameters.
        state_mib: MiB of the state dict as stored (buffers included).
        module_params, module_mib: the same per direct child of the model.
        macs: kind of frame -> module -> multiply-accumulates really done for one frame. Kinds: ``first`` (starts the
            objects), ``query`` (between the frames that the memory keeps), ``memory`` (kept by the memory); for
            clip-level models ``clip`` (a whole clip) and ``frame`` (a frame of it).
        settings: size of the frame, objects, frames in memory, frames of a clip.
        sparse: kind of frame -> what its sparse convolutions computed; empty for a model without any.
    """

    params: int
    state_mib: float
    module_params: dict[str, int]
    module_mib: dict[str, float]
    macs: dict[str, dict[str, int]] = field(default_factory=dict)
    settings: dict[str, object] = field(default_factory=dict)
    sparse: dict[str, SparsityReport] = field(default_factory=dict)

    @property
    def main_kind(self) -> str:
        """The kind that the totals are of."""
        return "query" if "query" in self.macs else "clip"

    def total(self, kind: str | None = None) -> float:
        """Multiply-accumulates of one frame of a kind, by default of the main one."""
        return sum(self.macs[kind or self.main_kind].values())

    def as_json(self) -> dict:
        """Stable keys: ``params``, ``state_mib``, ``macs_g`` (one query frame, or clip) and the same per module."""
        modules = {}
        for name in self.module_params:
            modules[name] = {"params": self.module_params[name], "state_mib": self.module_mib[name],
                             "macs_g": self.macs[self.main_kind].get(name, 0) / 1e9}
            modules[name].update({f"macs_g_{kind}": self.macs[kind].get(name, 0) / 1e9 for kind in self.macs})
        return {"params": self.params, "state_mib": self.state_mib, "macs_g": self.total() / 1e9,
                **{f"macs_g_{kind}": self.total(kind) / 1e9 for kind in self.macs}, "modules": modules, **self.settings,
                **({"sparse": {kind: report.as_json() for kind, report in self.sparse.items()}} if self.sparse else {})}


def state_mib(module: nn.Module) -> float:
    """MiB of the tensors of a state dict."""
    return sum(v.numel() * v.element_size() for v in module.state_dict().values()) / 2**20


class StageCounter:
    """Counts multiply-accumulates per part of a model (torch's FLOP formulas: two FLOPs are one MAC).

    Args:
        model: the model.
        parts: name -> modules that are counted together; none may contain another. By default the direct children.
    """

    def __init__(self, model: nn.Module, parts: Mapping[str, Sequence[nn.Module]] | None = None):
        self.parts = {name: [child] for name, child in model.named_children()} if parts is None else dict(parts)
        self.counts: dict[str, int] = defaultdict(int)

    @contextmanager
    def count(self):
        """Count everything that runs inside; what no part does is counted as ``other``."""
        counter = FlopCounterMode(display=False)
        running: dict[str, list[int]] = {name: [] for name in self.parts}  # counts at the start of nested calls
        handles = []
        for name, module in ((n, m) for n, parts in self.parts.items() for part in parts for m in part.modules()):
            handles.append(module.register_forward_pre_hook(
                lambda _m, _i, name=name: running[name].append(counter.get_total_flops())))
            handles.append(module.register_forward_hook(
                lambda _m, _i, _o, name=name: self.leave(name, running[name], counter.get_total_flops())))
        before = sum(self.counts.values())
        try:
            with counter:
                yield
        finally:
            for handle in handles:
                handle.remove()
        self.counts["other"] += counter.get_total_flops() // 2 - (sum(self.counts.values()) - before)

    def leave(self, name: str, running: list[int], flops: int) -> None:
        """Book the outermost call of a part, which may be of one of its modules: parts need no ``forward``."""
        start = running.pop()
        if not running:
            self.counts[name] += (flops - start) // 2


@torch.no_grad()
def measure(model: nn.Module, size: tuple[int, int] = (480, 854), objects: int = 1,
            memory_frames: int = 1) -> Complexity:
    """Weigh a segmentor and count the work of its kinds of frames.

    Args:
        model: a :class:`~vosplug.models.segmentors.VOSSegmentor`.
        size: (H, W) of the frame before padding.
        objects: number of objects.
        memory_frames: frames in memory when the query frame is segmented; matching grows with it.
    """
    model = model.eval()
    result = Complexity(
        params=sum(p.numel() for p in model.parameters()), state_mib=state_mib(model),
        module_params={n: sum(p.numel() for p in m.parameters()) for n, m in model.named_children()},
        module_mib={n: state_mib(m) for n, m in model.named_children()},
        settings={"shape": list(size), "objects": objects, "memory_frames": memory_frames})
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (1, 3, *size), generator=generator, dtype=torch.uint8)
    frame, geometry = model.data_preprocessor.frames(image)
    result.settings["padded_shape"] = list(frame.shape[-2:])
    masks = model.data_preprocessor.masks(striped_masks(objects, size), geometry)
    prompt = Prompt(ids=tuple(range(1, objects + 1)), masks=masks)

    state = model.init_state()
    count(result, "first", model, state, frame, prompt)
    for _ in range(memory_frames - 1):
        state.frame_index = next_memory_frame(state)
        model.step(state, frame)
    if sparse_layers(model):  # once before, uncounted: what runs on objects has no previous features yet, and is dense
        between(model, state, frame, model.step)
    between(model, state, frame, lambda *args, **options: count(result, "query", model, *args, **options))
    state.frame_index = next_memory_frame(state)
    count(result, "memory", model, state, frame, None)
    return result


@torch.no_grad()
def measure_clip(model: nn.Module, size: tuple[int, int] = (360, 640), frames: int | None = None) -> Complexity:
    """Weigh a clip-level model and count the work of one clip.

    Interpolation (RoIAlign, resizing) is not counted, as torch has no formula for it.

    Args:
        model: a :class:`~vosplug.models.segmentors.BaseVISSegmentor`.
        size: (H, W) of the frames before padding.
        frames: T; by default the clip length of the model.
    """
    model, length = model.eval(), frames or model.clip_length
    parts = parts_of(model)
    result = Complexity(
        params=sum(p.numel() for p in model.parameters()), state_mib=state_mib(model),
        module_params={n: sum(p.numel() for m in part for p in m.parameters()) for n, part in parts.items()},
        module_mib={n: sum(state_mib(m) for m in part) for n, part in parts.items()},
        settings={"shape": list(size), "frames": length})
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (length, 3, *size), generator=generator, dtype=torch.uint8)
    clip, geometry = model.data_preprocessor.frames(images)
    result.settings["padded_shape"] = list(clip.shape[-2:])
    counter = StageCounter(model, parts)
    with without_fast_attention(), without_gradients(model), counter.count():
        model.step(model.init_state(), clip[None], [geometry.size])
    result.macs["clip"] = {name: value for name, value in counter.counts.items() if value}
    result.macs["frame"] = {name: value / length for name, value in result.macs["clip"].items()}
    return result


def parts_of(model: nn.Module) -> dict[str, list[nn.Module]]:
    """The direct children of a model; a list of alike modules is split into their children, added up over the list."""
    parts: dict[str, list[nn.Module]] = {}
    for name, child in model.named_children():
        if isinstance(child, nn.ModuleList):
            for item in child:
                for key, part in item.named_children():
                    parts.setdefault(f"{name}.{key}", []).append(part)
        else:
            parts[name] = [child]
    return parts


@contextmanager
def without_fast_attention():
    """Let attention layers run step by step: torch has no FLOP formula for their fused forms on every device."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextmanager
def without_gradients(model: nn.Module):
    """Let no weight require a gradient: torch's counter would register hooks for gradients that never come."""
    wanted = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in wanted:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in wanted:
            parameter.requires_grad_(True)
def between(model: nn.Module, state: VideoState, frame: torch.Tensor, step: Callable) -> None:
    """Run ``step`` as on a frame between those that the memory keeps."""
    if state.memory is None or not state.memory.is_kept(state.frame_index, False):  # as it comes after a kept one
        index = state.frame_index
        step(state, frame, None)
        state.frame_index = index
    else:  # a memory of every frame: the last one writes nothing; on a copy, as no frame may follow it
        step(copy.copy(state), frame, None, last=True)


def count(result: Complexity, kind: str, model: nn.Module, state, frame, prompt, last: bool = False) -> None:
    """Add the multiply-accumulates per module of one step, and what its sparse convolutions computed."""
    counter = StageCounter(model)
    with counter.count():
        output = model.step(state, frame, prompt, last=last)
    result.macs[kind] = {name: value for name, value in counter.counts.items() if value}
    if output.noted(Work):
        result.sparse[kind] = SparsityReport()
        result.sparse[kind].add(output.noted(Work))


def next_memory_frame(state) -> int:
    """The next frame number at which the memory keeps a frame."""
    frames = count_from(max(state.frame_index, 1))
    return next(index for index in frames if state.memory is None or state.memory.is_kept(index, False))


def striped_masks(objects: int, size: tuple[int, int]) -> torch.Tensor:
    """(1, O, H, W) disjoint vertical stripes."""
    columns = torch.arange(size[1]) * max(objects, 1) // size[1]
    return (columns[None] == torch.arange(objects)[:, None]).float()[None, :, None].expand(1, objects, *size)
