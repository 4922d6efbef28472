"""Training by a teacher, without labels."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import torch
from mmengine.dist import get_world_size
from torch import Tensor, nn

from ...registry import SEGMENTORS, TASKS
from ...structures import ClipRecord, ClipSample, FrameRecord, Geometry, Prompt, StepOutput, Tap
from ...utils.errors import ConfigError
from ..distillers import Grid, Teacher, build_pairs
from ..losses.base import WorkLoss
from .clips import resized_to
from .prompts import given_prompt, region_prompt
from .supervised import mean_iou, reach_of

PROMPTS = ("given", "regions")
FEEDBACKS = ("curriculum", "teacher", "own")
PROBE_SIDE, PROBE_FRAMES = 97, 4  # of the clip on which features are looked for


def small_tasks() -> list[dict]:
    """An example: a student of STCN's kind, taught by another one."""
    teacher = dict(config=dict(model=SEGMENTORS.example("STCN", 1)), weights="random")
    pairs = [dict(teacher="readout.output", student="readout.output", loss=dict(type="CKALoss", weight=1.5)),
             dict(teacher="logits", student="logits", loss=dict(type="InterObjectLoss"))]
    return [dict(teacher=teacher, pairs=pairs)]


@TASKS.register_module(role="distillation", examples=small_tasks)
class Distillation:
    """Unroll a student and its teacher over the same clips, and compare what is inside of them (Truong et al., 3.3).

    The model that is trained is the student; the teacher is no part of it. After the prompt no label is read: the loss
    is that of the pairs, a mean over the frames that were propagated, in the clips that have objects (Eq. 12).

    Args:
        teacher: ``dict(config=..., weights=..., cfg_options=...)``, see :class:`~..distillers.Teacher`.
        pairs: list of ``dict(teacher=NAME, student=NAME, loss=dict(type=...), name=...)``: which feature of the student
            is compared with which one of the teacher; each is logged as ``loss_<name>``.
        prompt: what starts the objects. ``given``: the masks of the first frames, as at test time. ``regions``: random
            regions of the pictures; no annotation is opened at all.
        feedback: whose masks the student memorises. ``teacher``: the teacher's hard ones, where training with labels
            has labels; ``own``: its own; ``curriculum``: the teacher's for the first share of the training, its own
            after that. The teacher always memorises its own, as at test time.
        teacher_share: that share.
        regions: least and largest number of regions.
        region_area: least and largest share of the picture that a region has.

    Raises:
        ConfigError, CheckpointError: an option is wrong, or the teacher does not fit its weights.
    """

    def __init__(self, teacher: dict, pairs: list[dict], prompt: str = "given", feedback: str = "curriculum",
                 teacher_share: float = 0.5, regions: Sequence[int] = (1, 4),
                 region_area: Sequence[float] = (0.01, 0.25)):
        for option, value, known in (("prompt", prompt, PROMPTS), ("feedback", feedback, FEEDBACKS)):
            if value not in known:
                raise ConfigError(f"Distillation.{option} must be one of {', '.join(known)}, got {value!r}")
        if not 0 <= teacher_share <= 1:
            raise ConfigError(f"Distillation.teacher_share must lie in [0, 1], got {teacher_share}")
        if len(regions) != 2 or not 1 <= regions[0] <= regions[1] <= 254:
            raise ConfigError(f"Distillation.regions must be two numbers of regions in 1..254, the least first, got "
                              f"{regions}")
        if len(region_area) != 2 or not 0 < region_area[0] < region_area[1] <= 1:
            raise ConfigError("Distillation.region_area must be two shares of the picture in (0, 1], the least first, "
                              f"got {region_area}")
        self.prompts, self.feedback, self.teacher_share = prompt, feedback, teacher_share
        self.region_options = dict(count=tuple(regions), area=tuple(region_area))
        self.settings = pairs
        build_pairs(pairs)  # refused before a teacher is loaded
        self.teacher = Teacher.build(teacher)
        self.pairs: list = []
        self.trained = nn.ModuleList()
        self.leads = feedback != "own"

    def __deepcopy__(self, memo: dict) -> "Distillation":
        """A copy of a model, such as the average of its weights, has the same teacher."""
        return self

    # Before training ----------------------------------------------------------------------------------------------

    def prepare(self, model: nn.Module) -> None:
        """Look for the features of both models, and make what pairs need, for a student that is on its device.

        Raises:
            ConfigError: a pair names a feature that is not there, or compares what cannot be compared, or the student
                has losses that read labels.
        """
        labelled = [loss.name for loss in model.losses if not isinstance(loss, WorkLoss)]
        if labelled:
            raise ConfigError("Distillation reads no labels, but the student has losses that do "
                              f"({', '.join(labelled)}): set model.losses=[] in the config")
        slots = getattr(getattr(model, "slots", None), "max_objects", None)
        pairs = build_pairs(self.settings, **({} if slots is None else {"max_objects": slots}))
        with torch.random.fork_rng(devices=[model.device] if model.device.type == "cuda" else []):
            students, teachers = self.probe(model)
            for pair in pairs:
                pair.check(students, teachers)
                pair.prepare(students, teachers)
        self.pairs, self.trained = pairs, nn.ModuleList(pair.loss for pair in pairs)
        if get_world_size() > 1 and any(True for _ in self.trained.parameters()):
            raise NotImplementedError("losses with weights of their own (ProjectorEnsembleLoss) are trained by a "
                                      "single process only: their gradients are not averaged over several")

    @torch.no_grad()
    def probe(self, model: nn.Module) -> tuple[dict[str, Tap], dict[str, Tap]]:
        """All features of student and teacher after a few frames with two objects; nothing is changed by it."""
        self.teacher.like(model)
        training, like = model.training, next(model.parameters())
        size = model.data_preprocessor.geometry((PROBE_SIDE, PROBE_SIDE)).network
        clip = torch.linspace(-1, 1, PROBE_FRAMES * 3 * size[0] * size[1]).to(like).view(1, PROBE_FRAMES, 3, *size)
        masks = torch.zeros(1, 2, *size, device=like.device)
        masks[:, 0, size[0] // 4 : size[0] // 2, size[1] // 4 : size[1] // 2] = 1
        masks[:, 1, size[0] // 2 : size[0] * 3 // 4, size[1] // 2 : size[1] * 3 // 4] = 1
        model.eval()
        try:
            *_, (student, teacher, _) = self.unroll(model, clip, Prompt(ids=(1, 2), masks=masks), None, None)
        finally:
            model.train(training)
        return student.taps, teacher.taps

    def check_data(self, dataset: Any) -> None:
        """Raise :class:`ConfigError` if clips of ``dataset`` depend on labels, or on any annotation with regions."""
        name = type(dataset).__name__
        if not getattr(dataset, "label_free", True):
            raise ConfigError(f"Distillation reads no label after the prompt, but clips of {name} depend on labels of "
                              "later frames: take UnlabelledClips for videos, and merge clips of still images only")
        if self.prompts == "regions" and getattr(dataset, "opens_masks", False):
            raise ConfigError(f"Distillation.prompt='regions' opens no annotation, but {name} reads masks: take "
                              "UnlabelledClips without masks")

    # Training -----------------------------------------------------------------------------------------------------

    def set_progress(self, iteration: int, max_iterations: int) -> None:
        """Say whose masks are memorised at an iteration; called by the training loop."""
        early = iteration < self.teacher_share * max_iterations
        self.leads = self.feedback == "teacher" or (self.feedback == "curriculum" and early)

    def loss(self, model: nn.Module, inputs: Tensor, data_samples: list[ClipSample]) -> dict[str, Tensor]:
        """Losses of a batch; arguments are those of :meth:`~.supervised.SupervisedClips.loss`.

        Returns:
            ``loss_<name>`` of each pair, and ``agreement``, the mean IoU of the student's objects with the teacher's.
        """
        if not self.pairs:
            self.prepare(model)
        prompt = self.prompt_of(model, inputs, data_samples)
        names = [f"loss_{name}" for name in (*(p.name for p in self.pairs), *(loss.name for loss in model.losses))]
        if prompt is None or inputs.shape[1] < 2:
            return dict.fromkeys(names, reach_of(model))
        clips = prompt.valid.any(dim=1).nonzero().flatten()
        here = student_grid(model, inputs)
        frames = self.unroll(model, inputs, prompt, {p.student for p in self.pairs}, {p.teacher for p in self.pairs})
        next(frames)  # whose masks are given
        values, record, agreement = [], ClipRecord(), []
        for t, (student, teacher, labels) in enumerate(frames, start=1):
            values.append([pair(student, teacher, clips, here, self.teacher.grid) for pair in self.pairs])
            record.frames.append(FrameRecord(t, student.logits, labels, student.known, student.ids, student.notes))
            agreement.append(mean_iou(resized_to(student.logits, labels.shape[-2:], model.data_preprocessor), labels,
                                      student.known))
        totals = [sum(of_pair) / len(values) for of_pair in zip(*values, strict=True)]
        totals += [loss(record) * loss.weight for loss in model.losses]
        numbers = {name: value for loss in model.losses for name, value in loss.numbers(record).items()}
        return {**dict(zip(names, totals, strict=True)), **numbers, "agreement": torch.stack(agreement).mean()}

    def prompt_of(self, model: nn.Module, inputs: Tensor, samples: list[ClipSample]) -> Prompt | None:
        """What starts the objects of a batch of clips; None if there is nothing."""
        if self.prompts == "given":
            return given_prompt(samples, inputs.device)
        seed = int(torch.randint(2**62, ()))  # of the generator that the loop seeds for each iteration
        return region_prompt(model.data_preprocessor.denormalize(inputs[:, 0]), seed, **self.region_options)

    def unroll(self, model: nn.Module, clip: Tensor, prompt: Prompt, student_names: Collection[str] | None,
               teacher_names: Collection[str] | None) -> Iterator[tuple[StepOutput, StepOutput, Tensor | None]]:
        """Step both models through a clip (B, T, 3, H, W), the teacher first.

        Yields:
            Outputs of student and teacher, and the teacher's hard labels (B, H, W) by channel; None for the first
            frame, whose masks are given.
        """
        teacher, count = self.teacher, clip.shape[1]
        seen = teacher.frames(clip, model)
        theirs, prompts = teacher.new_state(len(clip)), (prompt, teacher.prompt(prompt))
        ours = model.init_state(len(clip), training=True)
        for t in range(count):
            mine, its = prompts if t == 0 else (None, None)
            shown = teacher.step(theirs, seen[:, t], its, last=t == count - 1, features=teacher_names)
            labels = None if t == 0 else teacher.labels(shown.logits)
            output = model.step(ours, clip[:, t], mine, last=t == count - 1, features=student_names,
                                fed_back=labels if self.leads else None)
            yield output, shown, labels


def student_grid(model: nn.Module, clip: Tensor) -> Grid:
    """How the cells of a student lie on its own frames (..., H, W)."""
    size = tuple(clip.shape[-2:])
    return Grid(Geometry(size, size), model.data_preprocessor.align_corners)
