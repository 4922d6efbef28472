"""Reuse gates (Park et al.: Learning Dynamic Network Using a Reuse Gate Function in Semi-supervised VOS, CVPR 2021)."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...registry import GATES, LAYERS, MATCHING_HEADS, SEGMENTORS
from ...structures import Decision, Prompt, Rows, RowStore, ScoreChange, VideoState
from ...utils.checkpoint import load_weights
from ...utils.errors import ConfigError, InputError
from ..compiled import stage
from ..decoders.refiner import resize
from ..frame_run import FrameRun
from ..gates import Gate, GateInput, ScheduledGate
from ..layers.reuse import MOVED, MovedRows, straight_through
from ..memories import MemoryState
from .base import LOGITS_TAP, VOSSegmentor
from .reuse_rules import above, check_decisions, kept_where, mask_ious

# What is kept of a row in ``state.objects``.
SCORE, FEATURE, TEMPLATE = "reuse.score", "reuse.feature", "reuse.template"
LOGITS, COUNT, TRUTH = "reuse.logits", "reuse.count", "reuse.truth"
TRAINING_TAU = FORCED_TAU = 0.5


def small_models() -> list[dict]:
    """Examples: every kind of inner segmentor, every mode."""
    narrow, losses = dict(type="RefineTranslator", hidden=8), [dict(type="DeltaLoss"), dict(type="GateProbabilityLoss")]
    sparse = dict(conv=dict(type="TripleSparseConv"), losses=[dict(type="SparsityLoss", target=0.1)])
    cases = [dict(segmentor=SEGMENTORS.example("FRTM")),
             dict(segmentor=SEGMENTORS.example("STCN"), translator=narrow, mode="fusion", tau_copy=0.5),
             dict(segmentor=SEGMENTORS.example("STCN", 1), translator=dict(narrow, norm=dict(type="GN")),
                  gate=dict(type="ChangeGate")),
             dict(segmentor=SEGMENTORS.example("STCN", sparse=sparse), translator=narrow, max_reuse=2),
             dict(segmentor=SEGMENTORS.example("XMem"), translator=narrow),
             dict(segmentor=SEGMENTORS.example("TTVOS"), translator=dict(type="RefineTranslator")),
             dict(segmentor=SEGMENTORS.example("DeAOT"), translator=narrow)]
    return [dict(case, tau=0.15, losses=losses) for case in cases]


@SEGMENTORS.register_module(examples=small_models)
class ReuseGated(VOSSegmentor):
    """A segmentor whose deep features, memory read-out and coarse half are skipped for rows that have changed little.

    Each row ((video, object), or what else the method has) decides alone. Early features and the score of the last
    computed frame are matched with a template of the first frame; the gate makes a probability of reuse of the result.
    A row that is computed goes through the stages of the inner segmentor, as without a gate. For a row that is reused
    the change of the score is predicted, and the coarse feature is translated by it; the fine half then makes the
    mask. On such frames nothing that the method remembers of the row changes.

    A row of several objects (a group of AOT's) is reused or computed as one: its objects decide together. Its score is
    the mask of all of them, and it begins anew when an object joins it.

    In training both are computed and mixed by the hard decision, through which gradients go straight.

    Args:
        segmentor: config (kind ``segmentor``) of the method, which has to have a ``cut``.
        gate: config (kind ``reuse gate``).
        matching: config (kind ``matching head``) of the template matching.
        delta, translator: configs (kind ``layer``) of what predicts the change and translates by it.
        tau: a row is reused if its probability is above; 1: never, 0: always. A list has one number for each frame
            after the first. Training clips are decided at 0.5.
        mode: ``translate``; ``copy`` repeats the previous mask instead; ``fusion`` copies where the probability is
            above ``tau_copy``, and translates otherwise.
        tau_copy: see ``mode``; above tau.
        max_reuse: a row is computed after so many reused frames in a row; None for no such limit.
        on_memory_frame: ``reuse`` lets the gate decide about frames that the memory keeps; ``full`` computes them.
        segmentor_weights: checkpoint of the ungated method to start from.
        losses: beside those of the inner segmentor.
        init_cfg: see :class:`~.base.VOSSegmentor`.
    """

    def __init__(self, segmentor: dict, gate: dict | None = None, matching: dict | None = None,
                 delta: dict | None = None, translator: dict | None = None, tau: float | Sequence[float] = 0.7,
                 mode: str = "translate", tau_copy: float | None = None, max_reuse: int | None = None,
                 on_memory_frame: str = "reuse", segmentor_weights: str | None = None,
                 losses: list[dict] | None = None, init_cfg: dict | None = None):
        check_decisions(tau, mode, tau_copy, max_reuse, on_memory_frame)
        inner = SEGMENTORS.build(segmentor)
        cut = getattr(inner, "cut", None)
        if cut is None:
            raise ConfigError(f"{type(inner).__name__} cannot be gated: it has no cut between a coarse half, which a "
                              "gate skips, and a fine half")
        if segmentor_weights is not None:
            load_weights(inner, segmentor_weights)
        super().__init__(preprocessor=segmentor["preprocessor"], losses=losses, init_cfg=init_cfg)
        self.segmentor = inner
        self.sparse_parts = {letter: part.inside("segmentor.") for letter, part in inner.sparse_parts.items()}
        self.memory, self.data_preprocessor = inner.memory, inner.data_preprocessor
        self.frame_policies = inner.frame_policies
        self.losses.extend(inner.losses)
        self.matching = MATCHING_HEADS.build(matching or dict(type="TemplateMatching"),
                                             feature_channels=cut.early.channels)
        channels = self.matching.out_channels
        self.gate = GATES.build(gate or dict(type="ReuseGate"), in_channels=channels)
        self.delta = LAYERS.build(delta or dict(type="DeltaGenerator"), in_channels=channels,
                                  stride=cut.coarse.stride // cut.early.stride)
        self.translator = LAYERS.build(translator or dict(type="RefineTranslator"), channels=cut.coarse.channels)
        self.tau, self.mode, self.tau_copy = tau, mode, tau_copy
        self.max_reuse, self.on_memory_frame = max_reuse, on_memory_frame
        self.forced: Gate | None = None

    def force_rate(self, rate: float | None) -> None:
        """Reuse a fixed share of the frames, evenly spread, whatever the gate says; it runs all the same.

        For measuring speed and work without weights. None: the gate decides again.
        """
        self.forced = None if rate is None else ScheduledGate(rate=rate)

    # Stages of the inner segmentor ------------------------------------------------------------------------------------

    def rows(self, state: VideoState) -> Rows:
        """See the inner segmentor."""
        return self.segmentor.rows(state)

    def new_memory(self, training: bool) -> MemoryState:
        """See the inner segmentor."""
        return self.segmentor.new_memory(training)

    def encode_shallow(self, frame: Tensor) -> Any:
        """See the inner segmentor."""
        return self.segmentor.encode_shallow(frame)

    def encode_deep(self, features: Any) -> Any:
        """See the inner segmentor."""
        return self.segmentor.encode_deep(features)

    def decode_coarse(self, state: VideoState, features: Any, rows: Rows) -> Tensor:
        """See the inner segmentor."""
        return self.segmentor.decode_coarse(state, features, rows)

    def decode_fine(self, state: VideoState, features: Any, coarse: Tensor, rows: Rows) -> Tensor:
        """See the inner segmentor."""
        return self.segmentor.decode_fine(state, features, coarse, rows)

    def compose(self, state: VideoState, logits: Tensor, rows: Rows) -> Tensor:
        """See the inner segmentor."""
        return self.segmentor.compose(state, logits, rows)

    def give(self, state: VideoState, logits: Tensor, prompt: Prompt, run: FrameRun) -> Tensor:
        """See the inner segmentor."""
        return self.segmentor.give(state, logits, prompt, run)

    def feedback(self, state: VideoState, logits: Tensor) -> Tensor:
        """See the inner segmentor."""
        return self.segmentor.feedback(state, logits)

    def remove_objects(self, state: VideoState, ids: list[int]) -> None:
        """Stop tracking objects. Rows that they shared with others are computed next, those that are left empty go."""
        shared = self.segmentor.shared_keys(state, ids)
        self.segmentor.remove_objects(state, ids)
        state.objects.forget(FEATURE, shared)
        state.objects.drop(shared - set(self.rows(state).keys))

    # Frames -----------------------------------------------------------------------------------------------------------

    def segment(self, state: VideoState, features: Any, run: FrameRun) -> tuple[Tensor, Rows]:
        """Decide for each row, then compute, translate or copy it."""
        rows = self.rows(state)
        if not len(rows):
            return self.background(state), rows
        decide = self.mix if run.training else self.choose
        composed, computed = decide(state, features, rows, run)
        run.tap(LOGITS_TAP, composed)
        return composed, computed

    def choose(self, state: VideoState, features: Any, rows: Rows, run: FrameRun) -> tuple[Tensor, Rows]:
        """Inference: every row goes one way."""
        store, early = state.objects, self.segmentor.early(features)
        free = self.free(state, rows, run)
        asked = rows.select(free)
        compared = self.compare(store, early, asked, run) if len(asked) and self.gate.compares else None
        probability = torch.zeros(len(rows), dtype=torch.float64)
        if len(asked):
            inputs = GateInput(asked, state.frame_index, early, store, compared)
            probability[free] = self.gate(inputs).cpu().double()  # not every device has float64
            if self.forced is not None:
                probability[free] = self.forced(inputs).cpu().double()
        tau = self.tau_of(state.frame_index)
        reused = free & above(probability, tau)
        copied = reused & self.is_copied(probability)
        run.note(Decision(rows.keys, reused, probability, forced=~free))

        computed, moved = rows.select(~reused), rows.select(reused & ~copied)
        decoded = rows.select(~copied)
        coarse = []
        if len(computed):
            coarse.append(self.compute(state, features, computed, run))
        if len(moved):
            own = self.compare(store, early, moved, run) if compared is None else compared[asked.places(moved)]
            parts, change = self.translate(store, own, moved, run)
            coarse.append(parts)
            run.shared[MOVED] = MovedRows(moved, change.score + change.delta)
        logits = self.finish(state, features, rows, decoded, coarse, [*computed.keys, *moved.keys], run)
        if self.max_reuse is not None:
            count = store.read(COUNT, rows, torch.zeros((), dtype=torch.long)) + 1
            store.write(COUNT, rows, count * reused)
        return self.compose(state, logits, rows), computed

    def free(self, state: VideoState, rows: Rows, run: FrameRun) -> Tensor:
        """(R,) bool: the rows that leave a choice."""
        store = state.objects
        kept = self.on_memory_frame == "full" and state.memory is not None \
            and state.memory.is_kept(state.frame_index, run.prompted)
        if kept or (run.prompted and self.segmentor.prompts_renew):
            return torch.zeros(len(rows), dtype=torch.bool)
        free = store.has(FEATURE, rows) & store.has(SCORE, rows)
        if self.mode != "translate":
            free &= store.has(LOGITS, rows)
        if self.max_reuse is not None:
            free &= store.read(COUNT, rows, torch.zeros((), dtype=torch.long)) < self.max_reuse
        return free

    def compare(self, store: RowStore, early: Tensor, rows: Rows, run: FrameRun) -> Tensor:
        """Dissimilarity (R, C, h, w) of early features (B, C, h, w) and last score with the template."""
        score = resize(store.read(SCORE, rows), early.shape[-2:])
        with run.whose(rows):
            return self.matching(rows.expand(early), score.to(early), store.read(TEMPLATE, rows))

    def compute(self, state: VideoState, features: Any, rows: Rows, run: FrameRun) -> Tensor:
        """The coarse half of the inner segmentor (R, C, h, w), which is kept."""
        features = stage(self.encode_deep)(features)
        with run.whose(rows):
            coarse = self.decode_coarse(state, features, rows)
        self.keep(state.objects, features, coarse, rows)
        return coarse

    def keep(self, store: RowStore, features: Any, coarse: Tensor, rows: Rows) -> None:
        """Remember the coarse half (R, C, h, w) of rows that a frame was computed for."""
        feature, score = self.parted(coarse)
        store.write(FEATURE, rows, feature)
        if score is not None:
            store.write(SCORE, rows, score)
        self.gate.remember(store, rows, self.segmentor.early(features))

    def translate(self, store: RowStore, dissimilarity: Tensor, rows: Rows,
                  run: FrameRun) -> tuple[Tensor, ScoreChange]:
        """What stands for the coarse half (R, C, h, w) of rows that are reused, and the change that was predicted."""
        score, feature = store.read(SCORE, rows), store.read(FEATURE, rows)
        with run.whose(rows):
            delta = self.delta(dissimilarity)
        if delta.shape[-2:] != feature.shape[-2:]:
            raise ConfigError(f"the coarse half of {type(self.segmentor).__name__} gives {tuple(feature.shape[-2:])} "
                              f"cells, but delta {tuple(delta.shape[-2:])}: its stride must be "
                              f"{self.segmentor.cut.coarse.stride} / {self.segmentor.cut.early.stride}")
        with run.whose(rows):
            moved = self.translator(feature, delta)
        change = ScoreChange(rows, delta, score)
        if not self.segmentor.cut.scored:
            return moved, change
        return torch.cat([moved, (score + delta).to(moved)], dim=1), change

    def finish(self, state: VideoState, features: Any, rows: Rows, decoded: Rows, coarse: list[Tensor],
               order: list, run: FrameRun) -> Tensor:
        """Logits (R, K, h', w') of ``rows``: the fine half for ``decoded``, previous ones for the others.

        Args:
            coarse: parts (R', C, h, w) for the rows with the keys ``order``.
        """
        if not len(decoded):
            return state.objects.read(LOGITS, rows)
        x = coarse[0] if len(coarse) == 1 else torch.cat(coarse)
        if tuple(order) != decoded.keys:
            places = {key: place for place, key in enumerate(order)}
            x = x[torch.tensor([places[key] for key in decoded.keys], device=x.device)]
        with run.whose(decoded):
            logits = stage(self.decode_fine)(state, features, x, decoded)
        if self.mode == "translate":
            return logits
        state.objects.write(LOGITS, decoded, logits)
        return state.objects.read(LOGITS, rows)

    def memorize(self, state: VideoState, features: Any, masks: Tensor, rows: Rows, run: FrameRun) -> None:
        """Let the inner segmentor memorise, and keep what later frames are compared with."""
        self.segmentor.memorize(state, features, masks, rows, run)
        if run.last:
            return
        started = set() if run.started is None else set(run.started.keys)
        if run.prompt is not None:
            started |= self.segmentor.shared_keys(state, run.prompt.ids)
        if not self.segmentor.cut.scored:
            old = rows.select([key not in started for key in rows.keys])
            if len(old):
                grid = state.objects.read(FEATURE, old).shape[-2:]
                state.objects.write(SCORE, old, resize(self.segmentor.row_masks(state, masks, old), grid))
        new = rows.having(started)
        if len(new):
            before, state.masks = state.masks, masks  # what a decoder takes for the previous masks is what was given
            self.begin(state, features, (masks > 0.5).to(masks), new, run)
            state.masks = before

    def begin(self, state: VideoState, features: Any, given: Tensor, rows: Rows, run: FrameRun) -> None:
        """Keep what is known of rows that start: template, coarse feature, and hard masks (B, O, H, W) as scores.

        The pass that gives the feature is nobody's, so that the inner segmentor remembers what it would without a gate.
        """
        store, early = state.objects, self.segmentor.early(features)
        masks = self.segmentor.row_masks(state, given, rows)
        with run.whose(rows):
            template = self.matching.template(rows.expand(early), F.interpolate(masks, size=early.shape[-2:]).to(early))
        store.write(TEMPLATE, rows, template)
        features = stage(self.encode_deep)(features)
        with run.whose(None):
            coarse = self.decode_coarse(state, features, rows)
        self.keep(store, features, coarse, rows)
        store.write(SCORE, rows, F.interpolate(masks, size=coarse.shape[-2:]))
        if self.mode != "translate":
            store.write(LOGITS, rows, self.segmentor.certain_rows(state, given, rows))
        if run.training:
            store.write(TRUTH, rows, masks)

    def parted(self, coarse: Tensor) -> tuple[Tensor, Tensor | None]:
        """Coarse half (R, C, h, w) -> feature, and score (R, 1, h, w) if it has one."""
        return (coarse[:, :-1], coarse[:, -1:]) if self.segmentor.cut.scored else (coarse, None)

    def tau_of(self, frame: int) -> float:
        """tau of a frame."""
        if self.forced is not None:
            return FORCED_TAU
        if not isinstance(self.tau, Sequence):
            return self.tau
        if frame > len(self.tau):
            raise InputError(f"ReuseGated.tau has {len(self.tau)} numbers, one for each frame after the first, but "
                             f"frame {frame} is asked for")
        return self.tau[max(frame - 1, 0)]

    def is_copied(self, probability: Tensor) -> Tensor:
        """(R,) bool: which of the reused rows are copied."""
        if self.mode == "fusion":
            return above(probability, self.tau_copy)
        return torch.full(probability.shape, self.mode == "copy")

    # Training ---------------------------------------------------------------------------------------------------------

    def mix(self, state: VideoState, features: Any, rows: Rows, run: FrameRun) -> tuple[Tensor, Rows]:
        """Training: every row is computed and translated, and the hard decision says which one counts.

        Gradients are those of the mixture of both by the probability (straight-through estimator), so that masks are
        those of the decision while gate, change and translator learn from all rows.
        """
        store, early = state.objects, self.segmentor.early(features)
        with run.whose(rows):
            coarse = self.decode_coarse(state, self.encode_deep(features), rows)
        feature, score = self.parted(coarse)
        free = self.free(state, rows, run)
        reused, probability = torch.zeros(len(rows), dtype=torch.bool), coarse.new_zeros(len(rows))
        truth = self.true_masks(state, rows, run)
        asked = rows.select(free)
        if len(asked):
            places = rows.places(asked)
            compared = self.compare(store, early, asked, run)
            chance = self.gate(GateInput(asked, state.frame_index, early, store, compared)).to(coarse)
            moved, change = self.translate(store, compared, asked, run)
            soft = self.gate.sample(chance)
            hard = soft.detach() > TRAINING_TAU
            coarse = coarse.index_copy(0, places, straight_through(soft, hard, moved.to(coarse), coarse[places]))
            reused[free] = hard.cpu()
            probability = probability.index_copy(0, places, chance)
            feature = kept_where(hard, store.read(FEATURE, asked), feature, places)
            if score is not None:
                score = kept_where(hard, store.read(SCORE, asked), score, places)
            run.shared[MOVED] = MovedRows(asked, change.score + change.delta, soft, hard)
            if truth is not None:
                change.truth = resize(truth[places], change.delta.shape[-2:])
            run.note(change)
        decision = Decision(rows.keys, reused, probability, forced=~free)
        if truth is not None:
            before = store.read(TRUTH, rows)
            decision.iou = mask_ious(truth, before)
            store.write(TRUTH, rows, torch.where(reused.to(truth.device)[:, None, None, None], before, truth))
        run.note(decision)
        computed = rows.select(~reused)
        if len(computed):
            self.gate.remember(store, computed, early)
        store.write(FEATURE, rows, feature)
        if score is not None:
            store.write(SCORE, rows, score)
        with run.whose(rows):
            logits = self.decode_fine(state, features, coarse, rows)
        return self.compose(state, logits, rows), computed

    def true_masks(self, state: VideoState, rows: Rows, run: FrameRun) -> Tensor | None:
        """(R, 1, H, W) true masks of rows; None if the loop does not know them."""
        if run.labels is None:
            return None
        channels = torch.arange(1, state.num_objects + 1, device=run.labels.device)[:, None, None]
        masks = (run.labels[:, None] == channels).to(next(self.parameters()).dtype)
        return self.segmentor.row_masks(state, masks, rows)
