"""Clips that are stepped through: objects from the start, late ones, more than a group holds."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...models.layers import SinePositions
from ...models.matching_heads import LongShortTermTransformer
from ...structures import Geometry, Prompt, VideoState
from ..manifest import Manifest
from ..recording import recorded
from .building import build_model

STEPS = {"c2": 4, "c3": 2, "c4": 1}  # every how many rows and columns of a level are stored
UNUSED_ODDS = 1e-5 / (1 - 1e-5)  # what an identity without an object has where groups are merged in the source


class Recorder:
    """What happens inside a model while a clip goes through it.

    Attributes:
        passes: of each pass through the propagation, (R, layers, C, h, w) as the source hands it to its decoder: AOT's
            layers normalised, of DeAOT's only the last.
        logits: (R, identities, h, w) of each frame.
        composed: (B, O + 1, H, W) of each frame, before given masks.
        encoded: pyramid and projection of each frame.
        identities: embeddings (R, C, h, w), of each frame.
    """

    def __init__(self, model: nn.Module):
        self.passes: list[Tensor] = []
        blocks: list[Tensor] = []
        head = model.matching_head
        for block in head.blocks:
            block.register_forward_hook(lambda _module, _inputs, output: blocks.append(torch.cat(output[:-1], dim=-1)))
        run = head.run

        def watched(x, memories):
            blocks.clear()
            output, kept = run(x, memories)
            if isinstance(head, LongShortTermTransformer):
                layers = output.unflatten(1, (len(head.blocks), -1))
            else:
                before = [b.transpose(1, 2).unflatten(2, x.shape[-2:]) for b in blocks[:-1]]
                layers = torch.stack([*before, output], dim=1)
            self.passes.append(layers)
            return output, kept

        object.__setattr__(head, "run", watched)
        self.logits = recorded(model, "decode_fine")
        self.composed = recorded(model, "compose")
        self.encoded = recorded(model.encoder, "deep")
        self.identities = recorded(model.identity_bank, "forward")


@dataclass
class Clip:
    """A clip that was stepped through.

    Attributes:
        state: after the last frame.
        outputs: of every frame, (O + 1, H, W) logits with given masks.
        lengths: after every frame, tokens of long-term memory per layer and group.
        last_long_term: after every frame, the frame from which the gap counts.
        labels_fed: after every frame, (H', W') ids that were fed back.
        first_memory: keys and values of the last layer of frame 0, (C, h, w).
    """

    state: VideoState
    outputs: list[Tensor]
    lengths: list[list[int]]
    last_long_term: list[int]
    labels_fed: list[Tensor]
    first_memory: Tensor | None = None


def prompt_of(label: Tensor, known: tuple[int, ...], geometry: Geometry, preprocessor: nn.Module) -> Prompt:
    """The objects of a label map (H, W) that are not known yet; the map has native or network size."""
    ids = tuple(i for i in label.unique().tolist() if i and i not in known)
    masks = torch.stack([label == i for i in ids])[None].to(preprocessor.anchor.dtype)
    if tuple(label.shape) == geometry.network and geometry.network != geometry.native:
        return Prompt(ids=ids, masks=masks)
    return Prompt(ids=ids, masks=preprocessor.masks(masks, geometry), native=masks)


@torch.no_grad()
def step_through(model: nn.Module, frames: Tensor, labels: dict[int, Tensor], native: tuple[int, int]) -> Clip:
    """Step through normalised frames (T, 3, H', W') of a video of ``native`` size; ``labels`` start objects."""
    state = model.init_state()
    geometry = Geometry(native=native, size=tuple(frames.shape[-2:]))
    clip = Clip(state, [], [], [], [])
    for t, frame in enumerate(frames):
        prompt = None
        if t in labels:
            prompt = prompt_of(labels[t], state.ids.ids, geometry, model.data_preprocessor)
        output = model.step(state, frame[None], prompt, geometry=geometry)
        clip.outputs.append(output.logits[0])
        kept = state.memory.kept
        groups = range(kept[-1].valid.shape[1])
        clip.lengths.append([sum(e.tokens for e in kept if g < e.objects and e.valid[0, g]) for g in groups])
        clip.last_long_term.append(state.memory.last_kept)
        clip.labels_fed.append(as_ids(torch.cat([0.5 * torch.ones_like(state.masks[:, :1]), state.masks], 1)[0],
                                      state.ids.ids))
        if t == 0:
            last = len(kept[0].object_tensors) // 2 - 1
            tokens = torch.cat([kept[0][f"k{last}"], kept[0][f"v{last}"]], dim=2)[0, 0]
            clip.first_memory = tokens.unflatten(1, kept[0].grid)
    return clip


def as_ids(scores: Tensor, ids: tuple[int, ...]) -> Tensor:
    """The id with the best of (O + 1, H, W) scores, uint8."""
    return torch.tensor([0, *ids], dtype=torch.uint8)[scores.argmax(dim=0)]


def clip_of(manifest: Manifest, dtype: torch.dtype) -> tuple[nn.Module, Recorder, Clip]:
    """Build the model of a manifest and step through its clip."""
    model, _ = build_model(manifest, dtype)
    recorder = Recorder(model)
    frames = torch.from_numpy(manifest.frames()).permute(0, 3, 1, 2)
    labels = {0: torch.from_numpy(manifest.label())}
    for frame, name in manifest.spec["inputs"].get("late_labels", {}).items():
        labels[int(frame)] = torch.from_numpy(manifest.array(name))
    native = tuple(manifest.hyperparameters["output_size"])
    return model, recorder, step_through(model, model.data_preprocessor.normalize(frames), labels, native)


def plain_clip(manifest: Manifest, dtype: torch.dtype) -> dict[str, Tensor]:
    """All objects start at frame 0, all in one group."""
    model, seen, clip = clip_of(manifest, dtype)
    pyramid, context = seen.encoded[1]
    levels = {name: pyramid[name][0] for name in STEPS}
    outputs = {f"encoder_{model.encoder.levels[name].stride}_frame1":
               x[:: max(1, len(x) // 16), :: STEPS[name], :: STEPS[name]] for name, x in levels.items()}
    size = tuple(context.shape[-2:])
    positions = SinePositions(context.shape[1])(size, context)
    objects = clip.state.num_objects
    return {
        **outputs,
        "encoder_16_projected_frame1": context[0, ::16],
        "pos_emb": positions.T.unflatten(1, size)[::8],
        "id_emb_frame0": seen.identities[0][0, ::8],
        "lstt_frame0": seen.passes[0][0, :, ::8], "lstt_frame1": seen.passes[1][0, :, ::8],
        "lstt_last": seen.passes[-1][0, :, ::8],
        "long_memory_last_layer_frame0": clip.first_memory[::16],
        "logits_stride4": torch.stack([x[0, : objects + 1] for x in seen.logits], dim=1),
        "prob": torch.stack([x[0].softmax(dim=0)[:, ::4, ::4] for x in seen.composed[1:]], dim=1),
        "label": torch.stack([as_ids(x, clip.state.ids.ids) for x in clip.outputs[1:]]),
        "long_memory_length": torch.tensor(clip.lengths[1:])[:, 0],
    }


def late_object(manifest: Manifest, dtype: torch.dtype) -> dict[str, Tensor]:
    """Further objects start at a later frame, which goes through the propagation twice."""
    _, seen, clip = clip_of(manifest, dtype)
    ids = clip.state.ids.ids
    lates = sorted(int(frame) for frame in manifest.spec["inputs"]["late_labels"])
    counts = {int(k): v for k, v in manifest.hyperparameters["num_objects_after"].items()}
    passes = {("reference", 0): seen.passes[0]}
    rest = iter(seen.passes[1:])
    for t in range(1, len(clip.outputs)):
        passes["frame", t] = next(rest)
        if t in lates:
            passes["reference", t] = next(rest)
    outputs = {"label": torch.stack([as_ids(x, ids) for x in clip.outputs[1:]]),
               "label_net_frame0": clip.labels_fed[0],
               "long_memory_length": torch.tensor(clip.lengths[1:])[:, 0],
               "last_long_term_frame": torch.tensor(clip.last_long_term[1:])}
    for t in {1, *lates, *(late + 1 for late in lates)}:
        outputs[f"lstt_frame{t}"] = passes["frame", t][0, :, ::8]
    known, start = manifest.hyperparameters["num_objects"], 1
    for late in lates:
        outputs[f"label_predicted_frame{late}"] = as_ids(seen.composed[late][0], ids)
        outputs[f"label_net_frame{late}"] = clip.labels_fed[late]
        outputs[f"lstt_reference_frame{late}"] = passes["reference", late][0, :, ::8]
        outputs.update(span_of(seen, known, start, late))
        known, start = counts[late], late + 1
    outputs.update(span_of(seen, known, start, len(clip.outputs) - 1))
    return outputs


def span_of(seen: Recorder, objects: int, first: int, last: int) -> dict[str, Tensor]:
    """Logits and probabilities of the frames between two numbers, in which the same objects were known."""
    logits = [x[0, : objects + 1] for x in seen.logits[first - 1 : last]]
    probs = [x[0].softmax(dim=0)[:, ::4, ::4] for x in seen.composed[first : last + 1]]
    return {f"logits_stride4_frames{first}to{last}": torch.stack(logits, dim=1),
            f"prob_frames{first}to{last}": torch.stack(probs, dim=1)}


def many_objects(manifest: Manifest, dtype: torch.dtype) -> dict[str, Tensor]:
    """More objects than a group holds."""
    model, seen, clip = clip_of(manifest, dtype)
    composed = [x[0] for x in seen.composed[1:]]
    group, groups = model.slots.max_objects, len(clip.lengths[-1])
    objects = clip.state.num_objects
    odds = [x.exp() for x in composed]
    unused = UNUSED_ODDS * (groups * group - objects)
    outputs = {
        "label_net_frame0": clip.labels_fed[0],
        "prob_used": torch.stack([x.softmax(dim=0)[:, ::4, ::4] for x in composed], dim=1),
        "prob": torch.stack([(x / (x.sum(dim=0) + unused))[:, ::4, ::4] for x in odds], dim=1),
        "prob_unused_sum": torch.stack([(unused / (x.sum(dim=0) + unused))[::4, ::4] for x in odds]),
        "label": torch.stack([as_ids(x, clip.state.ids.ids) for x in clip.outputs[1:]]),
        "long_memory_length": torch.tensor(clip.lengths[1:]),
    }
    for number in range(groups):
        members = min(group, objects - number * group)
        outputs[f"lstt_group{number}_frame1"] = seen.passes[1][number, :, ::8]
        outputs[f"logits_stride4_group{number}"] = torch.stack(
            [x[number, : members + 1, ::2, ::2] for x in seen.logits], dim=1)
    return outputs
