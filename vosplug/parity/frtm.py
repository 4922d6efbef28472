"""Recomputing the golden outputs of FRTM."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..converters import FRTMConverter
from ..models.layers import CutAndPaste
from ..models.layers.aggregate import odds
from ..models.memories import TargetModel, TargetModelState
from ..registry import PARITY_RUNS, SEGMENTORS
from ..structures import Prompt, Rows, StepOutput, VideoState
from ..utils.checkpoint import load_weights
from ..utils.configs import load_config
from ..utils.errors import CheckpointError, DataError
from .manifest import Manifest
from .run import ParityRun

TARGET_PREFIX = "discriminator."
DEPTHS = {"resnet18": 18, "resnet101": 101}


# Our name of a list of parameters -> the source's.
AUGMENTATION = {"rotation": "rotation", "flip": "fliplr", "scale": "scale", "skew": "skew", "blur_size": "blur_size",
                "blur_angle": "blur_angle"}


class LegacyDraws(np.random.RandomState):  # noqa: NPY002 (the outputs were made with this generator)
    """The source's draws: parameters without an effect are shuffled too, just before samples are put in order."""

    def __init__(self, seed: int, extra: int):
        super().__init__(seed)
        self.extra = extra

    def shuffle(self, x: list) -> None:
        if isinstance(x[0], tuple) and isinstance(x[0][0], dict):
            for _ in range(self.extra):
                super().shuffle([0] * len(x))
        super().shuffle(x)


class RecordingTargets(TargetModelState):
    """Target models that start from given weights, and keep what learning gave.

    Attributes:
        steps: object -> projection and filter after every Gauss-Newton step.
        samples: object -> features (N, C, h, w) and pixel weights (N, H, W) of the first frame.
        begun: object -> projection and filter when learning was done.
    """

    def __init__(self, policy: TargetModel, given: dict[int, list[Tensor]]):
        super().__init__(policy)
        self.given = given
        self.steps: dict[int, list[list[Tensor]]] = {}
        self.samples: dict[int, tuple[Tensor, Tensor]] = {}
        self.begun: dict[int, tuple[Tensor, Tensor]] = {}

    def initial(self, name: tuple, in_channels: int) -> list[Tensor]:
        return self.given[name[0]]

    def start(self, cell: tuple[int, int], name: tuple, features: Tensor, masks: Tensor) -> None:
        self.samples[name[0]] = features, self.policy.pixel_weights(masks.to(features))
        super().start(cell, name, features, masks)
        self.begun[name[0]] = self.targets[cell].project[:, :, 0, 0], self.targets[cell].filter[0]

    def watch(self, name: tuple) -> Callable[[list[Tensor]], None]:
        steps = self.steps.setdefault(name[0], [])
        return lambda parameters: steps.append([p.clone() for p in parameters])


@dataclass
class FrameLog:
    """What is kept of a frame; ``scores``, ``logits``, ``filters``, ``weights`` and ``seen`` are by object id."""

    scores: dict[int, Tensor] = field(default_factory=dict)
    logits: dict[int, Tensor] = field(default_factory=dict)
    filters: dict[int, Tensor] = field(default_factory=dict)
    weights: dict[int, Tensor] = field(default_factory=dict)
    seen: dict[int, int] = field(default_factory=dict)
    pyramid: dict[str, Tensor] = field(default_factory=dict)
    background: Tensor | None = None
    masks: Tensor | None = None
    label: Tensor | None = None
    reuse: dict[str, dict[int, Tensor]] = field(default_factory=dict)


@PARITY_RUNS.register_module(name="frtm-vos")
class FRTMParity(ParityRun):
    """Runs ``configs/frtm_r101.py`` with the values of a manifest on its clip, in float64."""

    config, converter = "frtm_r101.py", FRTMConverter

    def __init__(self, manifest: Manifest, dtype: torch.dtype = torch.float64):
        super().__init__(manifest, dtype)
        self.options = manifest.hyperparameters
        self.labels = {0: manifest.label()} | {
            int(t): manifest.inputs[name] for t, name in manifest.spec["inputs"].get("late_labels", {}).items()}

    # The model --------------------------------------------------------------------------------------------------------

    def model_options(self) -> dict[str, Any]:
        """Config of the model with the values of the manifest."""
        options = self.options
        if options["backbone"] not in DEPTHS:
            raise DataError(f"{self.manifest.path}: backbone {options['backbone']!r} is none of {', '.join(DEPTHS)}")
        cfg = load_config(self.config).model
        prefix = "segmentor." if "segmentor" in cfg else ""
        changes = dict(
            channels=options["c_channels"], init_iters=options["init_iters"],
            update_iters=options["update_iters"], update_every=options["train_skipping"],
            capacity=options["memory_size"], learning_rate=options["learning_rate"],
            filter_reg=options["filter_reg"], precond=options["precond"], forgetting=options["CG_forgetting_rate"],
            pixel_weighting=options["pixel_weighting"]["method"],
            foreground_share=options["pixel_weighting"]["tf"], augmentation=dict(type="FixedSamples"), train=None)
        self.manifest.adapt(cfg, {
            f"{prefix}backbone.stem_levels": True, f"{prefix}backbone.depth": DEPTHS[options["backbone"]],
            f"{prefix}decoder.channels": options["refiner_channels"],
            **{f"{prefix}memory.{name}": value for name, value in changes.items()}})
        return cfg

    def build(self) -> nn.Module:
        """The model with the weights of the manifest, loaded strictly."""
        model = SEGMENTORS.build(self.model_options())
        own = {name: value for name, value in self.weights.items() if not name.startswith(TARGET_PREFIX)}
        conversion = self.converter().convert(own)
        if conversion.unknown or conversion.dropped:
            raise CheckpointError(f"{self.manifest.path}: not all weights are used: {conversion.coverage()}")
        load_weights(model, conversion.state)
        return model.to(self.dtype).eval()

    def targets(self, policy: TargetModel) -> RecordingTargets:
        """Target models that start from the weights of the manifest."""
        names = {int(name.split(".")[1]) for name in self.weights if name.startswith(TARGET_PREFIX)}
        return RecordingTargets(policy, {number: [self.weights[f"{TARGET_PREFIX}{number}.{part}.weight"]
                                                  for part in ("project", "filter")] for number in names})

    # The run ----------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def run(self) -> dict[str, np.ndarray]:
        """Outputs by the names and with the subsampling of the manifest."""
        if not self.manifest.has_model:
            return self.augmented()
        self.weights = {name: torch.from_numpy(value) for name, value in self.manifest.weights().items()}
        self.frames = torch.from_numpy(self.manifest.frames()).permute(0, 3, 1, 2)
        self.propagate(self.build())
        outputs = self.late_outputs() if "late_labels" in self.manifest.spec["inputs"] else self.outputs()
        return {name: value.numpy() for name, value in outputs.items()}

    def augmented(self) -> dict[str, np.ndarray]:
        """Samples of the first frame, with the random numbers of the source."""
        options = self.options
        lists = {name: {ours: options[key][theirs] for ours, theirs in AUGMENTATION.items()}
                 for name, key in (("foreground", "fg"), ("background", "bg"))}
        maker = CutAndPaste(num_aug=options["num_aug"], **lists)
        random = LegacyDraws(options["numpy_seed"], extra=len(set(options["bg"]) - set(AUGMENTATION.values())))
        images, masks = maker.augment(self.manifest.inputs["frames"][0], self.manifest.label(), random)
        return {"images": images, "masks": masks}

    def segmentor(self, model: nn.Module) -> nn.Module:
        """The FRTM of the model."""
        return model

    def propagate(self, model: nn.Module) -> None:
        """Step through the clip and keep what the manifest may ask for, frame by frame."""
        frtm = self.segmentor(model)
        self.watch(frtm)
        state = model.init_state()
        self.memory = state.memory = self.targets(frtm.memory)
        self.logs: list[FrameLog] = []
        for t, frame in enumerate(self.frames):
            geometry = model.data_preprocessor.geometry(tuple(frame.shape[-2:]))
            x = self.normalized(frame, model.data_preprocessor)
            self.logs.append(FrameLog())
            output = model.step(state, x, self.prompt(t, model, geometry), geometry=geometry)
            self.keep(self.logs[-1], state, output)

    def normalized(self, frame: Tensor, preprocessor: nn.Module) -> Tensor:
        """(3, H, W) -> (1, 3, H, W) by the very operations of the source: learning amplifies their last digits."""
        mean, std = (torch.tensor(x, dtype=self.dtype)[:, None, None] for x in (preprocessor.mean, preprocessor.std))
        return ((frame.to(self.dtype) / 255 - mean) / std)[None]

    def keep(self, log: FrameLog, state: VideoState, output: StepOutput) -> None:
        """Keep what the state and the output of a frame say."""
        log.label = output.logits[0].argmax(dim=0)
        log.masks = torch.cat([log.background, state.masks[0]])[:, ::4, ::4].clone()
        for value in state.ids.ids:
            target = self.memory.targets[0, state.ids.channel(value)]
            log.filters[value], log.seen[value] = target.filter[0].clone(), target.seen
            log.weights[value] = target.weights.clone()

    def prompt(self, t: int, model: nn.Module, geometry: Any) -> Prompt | None:
        """Objects that start at frame ``t``."""
        if t not in self.labels:
            return None
        label = torch.from_numpy(self.labels[t])
        ids = tuple(int(i) for i in label.unique() if i)
        masks = torch.stack([label == i for i in ids])[None].to(self.dtype)
        return Prompt(ids=ids, masks=model.data_preprocessor.masks(masks, geometry))

    def watch(self, frtm: nn.Module) -> None:
        """Keep scores, logits and merged probabilities of every frame, and the pyramid where it is complete."""
        fine, merge = frtm.decode_fine, frtm.merge

        def decode_fine(state: VideoState, features: Any, coarse: Tensor, rows: Rows) -> Tensor:
            logits = fine(state, features, coarse, rows)
            self.logs[-1].pyramid = dict(features.pyramid)
            for row, (_, name) in enumerate(rows.keys):
                self.logs[-1].scores[name] = coarse[row, -1]
                self.logs[-1].logits[name] = logits[row, 0, ::4, ::4].clone()
            return logits

        def merged(prob: Tensor, active: Tensor) -> Tensor:
            whole = odds(prob, active)
            self.logs[-1].background = whole[:, 0] * (whole.argmax(dim=1) == 0)
            return merge(prob, active)

        frtm.decode_fine, frtm.merge = decode_fine, merged

    # The outputs ------------------------------------------------------------------------------------------------------

    @property
    def ids(self) -> list[int]:
        """All objects of the clip."""
        return sorted(self.memory.begun)

    def over_frames(self, name: str, value: int, start: int = 1) -> Tensor:
        """What the logs say of one object from frame ``start`` on."""
        return torch.stack([getattr(log, name)[value] for log in self.logs[start:]])

    def label(self) -> Tensor:
        """Labels of frames 1 to T - 1."""
        return torch.stack([log.label for log in self.logs[1:]]).to(torch.uint8)

    def outputs(self) -> dict[str, Tensor]:
        """Outputs of a clip whose objects all start at frame 0."""
        ids, memory, first = self.ids, self.memory, self.ids[0]
        features, pixel_weights = memory.samples[first]
        return {
            "project_after_gn_step_obj1": torch.stack([p[:, ::8, 0, 0] for p, _ in memory.steps[first]]),
            "filter_after_gn_step_obj1": torch.stack([f[0] for _, f in memory.steps[first]]),
            "augmented_layer4_obj1": thin(features)[..., ::2, ::2],
            "pixel_weights_obj1": pixel_weights[:, ::8, ::8],
            "project_after_init": self.projects(),
            "filter_after_init": torch.stack([memory.begun[i][1] for i in ids]),
            **{f"feature_layer{number}_frame1": self.feature(number) for number in range(1, 6)},
            "scores": torch.stack([self.over_frames("scores", i) for i in ids]),
            "logits": torch.stack([self.over_frames("logits", i) for i in ids]),
            "masks": torch.stack([log.masks for log in self.logs[1:]], dim=1),
            "label": self.label(),
            "memory_weights_obj1": self.over_frames("weights", first)[:, :16],
            "filter_after_frame": torch.stack([self.over_frames("filters", i)[:, ::8] for i in ids], dim=1),
        }

    def projects(self) -> Tensor:
        """[object, 96, input channels] after the first frame; every n-th channel where the manifest thins them out."""
        projects = torch.stack([self.memory.begun[i][0] for i in self.ids])
        kept = self.manifest.spec["outputs"].get("project_after_init", {}).get("shape", projects.shape)[-1]
        return projects[..., :: max(1, projects.shape[-1] // kept)]

    def feature(self, number: int) -> Tensor:
        """What the source calls ``layer1`` (the pooled stem) to ``layer5``, of frame 1."""
        x = thin(self.logs[1].pyramid["stem" if number == 1 else f"c{number}"][0])
        step = {1: 4, 2: 4, 3: 2}.get(number, 1)
        return x[:, ::step, ::step]

    def late_outputs(self) -> dict[str, Tensor]:
        """Outputs of a clip with an object that starts later."""
        outputs, starts = {}, {}
        for t in sorted(self.labels):
            starts.update(dict.fromkeys((int(i) for i in np.unique(self.labels[t]) if i), t))
        for value, start in starts.items():
            project, kernel = self.memory.begun[value]
            after = max(start, 1)  # what is kept of a frame on which it starts says nothing of classification
            outputs |= {
                f"project_after_init_obj{value}": project[:, ::4], f"filter_after_init_obj{value}": kernel,
                f"scores_obj{value}": self.over_frames("scores", value, start + 1),
                f"logits_obj{value}": self.over_frames("logits", value, start + 1),
                f"filter_after_frame_obj{value}": self.over_frames("filters", value, after)[:, ::8],
                f"memory_weights_obj{value}": self.over_frames("weights", value, after)[:, :12]}
        bounds = [*(max(t, 1) for t in sorted(self.labels)), len(self.logs)]
        for first, end in zip(bounds[:-1], bounds[1:], strict=True):
            outputs[f"masks_frames{first}to{end - 1}"] = torch.stack([log.masks for log in self.logs[first:end]], dim=1)
        return {**outputs, "label": self.label()}


def thin(x: Tensor) -> Tensor:
    """(..., C, h, w) -> 16 channels at equal distances."""
    return x[..., :: x.shape[-3] // 16, :, :]
