"""Parameters, memory and multiply-accumulates of a model, by running it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..structures import Decision, Prompt, StepOutput, VideoState, Work
from ..utils.errors import InputError
from .stage_counter import StageCounter, without_fast_attention, without_gradients
from .work_report import WorkReport

PATIENCE = 30  # frames within which a memory has to keep one, for this kind of frame to be counted


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
        about: what was measured, for people.
        work: kind of frame -> what its sparse layers and gates did; empty for a model without any.
        main_kind: the kind that the totals are of; by default ``query``, or else ``clip``.
        attention: what attention over frames in memory costs by the count of a paper, beside what is done; empty for a
            model that says nothing of it.
    """

    params: int
    state_mib: float
    module_params: dict[str, int]
    module_mib: dict[str, float]
    macs: dict[str, dict[str, int]] = field(default_factory=dict)
    settings: dict[str, object] = field(default_factory=dict)
    about: str = ""
    work: dict[str, WorkReport] = field(default_factory=dict)
    main_kind: str | None = None
    attention: dict[str, object] = field(default_factory=dict)

    def total(self, kind: str | None = None) -> float:
        """Multiply-accumulates of one frame of a kind, by default of the main one."""
        return sum(self.macs[kind or self.of].values())

    @property
    def of(self) -> str:
        """The kind that the totals are of."""
        return self.main_kind or ("query" if "query" in self.macs else "clip")

    def as_json(self) -> dict:
        """Stable keys: ``params``, ``state_mib``, ``macs_g`` (one query frame, or clip) and the same per module."""
        modules = {}
        for name in self.module_params:
            modules[name] = {"params": self.module_params[name], "state_mib": self.module_mib[name],
                             "macs_g": self.macs[self.of].get(name, 0) / 1e9}
            modules[name].update({f"macs_g_{kind}": self.macs[kind].get(name, 0) / 1e9 for kind in self.macs})
        return {"params": self.params, "state_mib": self.state_mib, "macs_g": self.total() / 1e9,
                **{f"macs_g_{kind}": self.total(kind) / 1e9 for kind in self.macs}, "modules": modules, **self.settings,
                **({"sparse": {kind: report.as_json() for kind, report in self.work.items()}} if self.work else {}),
                **({"attention": self.attention} if self.attention else {})}


def state_mib(module: nn.Module) -> float:
    """MiB of the tensors of a state dict."""
    return sum(v.numel() * v.element_size() for v in module.state_dict().values()) / 2**20


def weigh(model: nn.Module, parts: Mapping[str, Sequence[nn.Module]], about: str, **settings) -> Complexity:
    """What a model weighs in all and per part."""
    return Complexity(
        params=sum(p.numel() for p in model.parameters()), state_mib=state_mib(model),
        module_params={n: sum(p.numel() for m in part for p in m.parameters()) for n, part in parts.items()},
        module_mib={n: sum(state_mib(m) for m in part) for n, part in parts.items()}, about=about, settings=settings)


def random_images(count: int, size: tuple[int, int]) -> Tensor:
    """(count, 3, H, W) uint8."""
    return torch.randint(0, 256, (count, 3, *size), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@torch.no_grad()
def measure_frames(model: nn.Module, size: tuple[int, int] = (480, 854), objects: int = 1,
                   memory_frames: int = 1) -> Complexity:
    """Weigh a segmentor and count the work of its kinds of frames, on a short video of one picture.

    Args:
        model: a :class:`~vosplug.models.segmentors.VOSSegmentor`.
        size: (H, W) of the frame before padding.
        objects: number of objects.
        memory_frames: frames in memory when the query frame is segmented; matching grows with it.
    """
    model = model.eval()
    result = weigh(model, {name: [child] for name, child in model.named_children()},
                   f"{objects} object(s), {memory_frames} frame(s) in memory", shape=list(size), objects=objects,
                   memory_frames=memory_frames)
    frame, geometry = model.data_preprocessor.frames(random_images(1, size))
    result.settings["padded_shape"] = list(frame.shape[-2:])
    native = striped_masks(objects, size)
    prompt = Prompt(ids=tuple(range(1, objects + 1)), masks=model.data_preprocessor.masks(native, geometry),
                    native=native)
    video = ShortVideo(model, frame, prompt, geometry, result)
    video.run(memory_frames)
    if "query" not in result.macs:  # every frame is kept but the last one of a video
        video.run(memory_frames, ends=True)
    if hasattr(model, "attention_costs"):
        result.attention = model.attention_costs(tuple(frame.shape[-2:]), memory_frames + 1)
    return result


@dataclass
class ShortVideo:
    """Frames through a segmentor until every kind of frame has been counted.

    Attributes:
        model, frame, prompt, geometry: the same frame comes again and again; the prompt comes with the first one.
        result: gets the work of the kinds.
    """

    model: nn.Module
    frame: Tensor
    prompt: Prompt
    geometry: object
    result: Complexity

    def run(self, memory_frames: int, ends: bool = False) -> None:
        """Count a new video, with ``memory_frames`` frames in memory.

        Args:
            ends: stop with a last frame as soon as there are so many, since the last frame of a video is not kept.
        """
        state, kept, queries = self.model.init_state(), 0, 0
        while True:
            ready = kept == memory_frames
            output, counter = self.step(state, last=ends and ready)
            # The first query counts; where layers keep features of each object, the second one: only that finds some.
            wanted = 2 if output.noted(Work) or output.noted(Decision) else 1
            if output.kind == "first" or (ready and (output.kind != "query" or queries < wanted)):
                self.book(output, counter)
                queries += output.kind == "query"
            if ends and ready:
                return
            kept += output.kind != "query"
            if kept > memory_frames or (queries == wanted and not keeps_one_soon(state)):
                return
            if kept < memory_frames and not keeps_one_soon(state):
                raise InputError(f"the memory of this {type(self.model).__name__} keeps {kept} frames, not "
                                 f"{memory_frames}: none of the next {PATIENCE} follows them")

    def step(self, state: VideoState, last: bool) -> tuple[StepOutput, StageCounter]:
        """The next frame, and the work that it took."""
        counter = StageCounter(self.model)
        with without_fast_attention(), counter.count():
            output = self.model.step(state, self.frame, None if state.frame_index else self.prompt,
                                     geometry=self.geometry, last=last)
        return output, counter

    def book(self, output: StepOutput, counter: StageCounter) -> None:
        """Take the frame as the one of its kind."""
        self.result.macs[output.kind] = {name: value for name, value in counter.counts.items() if value}
        report = WorkReport()
        report.add(output.notes)
        if report.numbers():
            self.result.work[output.kind] = report


def keeps_one_soon(state: VideoState) -> bool:
    """Whether the memory will keep one of the next frames."""
    after = range(state.frame_index, state.frame_index + PATIENCE)
    return state.memory is not None and any(state.memory.is_kept(index, False) for index in after)


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
    result = weigh(model, parts, f"clip of {length} frame(s)", shape=list(size), frames=length)
    clip, geometry = model.data_preprocessor.frames(random_images(length, size))
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


def striped_masks(objects: int, size: tuple[int, int]) -> torch.Tensor:
    """(1, O, H, W) disjoint vertical stripes."""
    columns = torch.arange(size[1]) * max(objects, 1) // size[1]
    return (columns[None] == torch.arange(objects)[:, None]).float()[None, :, None].expand(1, objects, *size)
