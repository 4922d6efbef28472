"""What turns labelled clips into prompts, targets and losses."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ...structures import ClipSample, Prompt
from ...structures.notes import Work
from ...utils.masks import VOID


def first_frames(samples: list[ClipSample], never: int) -> Tensor:
    """(B, O) frame at which each slot is prompted; ``never`` for slots that a clip does not have. On the CPU."""
    slots = max((s.num_objects for s in samples), default=0)
    first = torch.full((len(samples), slots), never, dtype=torch.long)
    for row, sample in zip(first, samples, strict=True):
        row[: sample.num_objects] = torch.tensor(sample.first_frames, dtype=torch.long)
    return first


def training_prompt(labels: Tensor, first: Tensor, t: int) -> Prompt | None:
    """Prompt of the slots that start at frame ``t`` of any clip; ``labels`` (B, H, W) of that frame."""
    slots = (first == t).any(dim=0).nonzero().flatten().tolist()
    if not slots:
        return None
    ids = tuple(slot + 1 for slot in slots)
    values = torch.tensor(ids, device=labels.device)[None, :, None, None]
    return Prompt(ids=ids, masks=(labels[:, None] == values).float(), valid=(first == t)[:, slots])


def hide_unstarted(labels: Tensor, first: Tensor, t: int) -> Tensor:
    """Labels (B, H, W) in which objects that are prompted after frame ``t`` are void: nobody can know of them yet."""
    late = first > t
    if not late.any():
        return labels
    void = torch.zeros(len(first), VOID + 1, dtype=torch.bool)
    void[:, 1 : first.shape[1] + 1] = late
    hidden = void.to(labels.device).gather(1, labels.flatten(1)).view_as(labels)
    return labels.masked_fill(hidden, VOID)


def to_channels(labels: Tensor, ids: tuple[int, ...]) -> Tensor:
    """Labels by slot (B, H, W) as labels by channel: channels follow the order in which slots were prompted."""
    if ids == tuple(range(1, len(ids) + 1)):
        return labels
    table = torch.arange(VOID + 1)
    for channel, slot in enumerate(ids, start=1):
        table[slot] = channel
    return table.to(labels.device)[labels]


class LossMeter:
    """Sums losses over the frames of a clip.

    Args:
        losses: modules called as ``loss(logits (B, O+1, H, W), labels (B, H, W) int64 with 255 = void)``; each has
            a ``name`` and a ``weight``. Those with ``reads_work = True`` are called once per clip instead, with a list
            of what sparse convolutions did (:class:`~vosplug.structures.notes.Work`).
    """

    def __init__(self, losses: Iterable[nn.Module]):
        self.losses = list(losses)
        self.work: list[Work] = []
        self.sums: dict[str, Tensor] = {}
        self.ious: list[Tensor] = []
        self.frames = 0

    def add(self, logits: Tensor, labels: Tensor, known: Tensor, scored: Tensor) -> None:
        """Add one frame.

        Args:
            logits: (B, O+1, H, W).
            labels: (B, H, W) int64.
            known: (B,) bool on the CPU: clips in which something was propagated to this frame.
            scored: (B, O) bool on the CPU: objects that were propagated to this frame.
        """
        rows = known.nonzero().flatten().to(logits.device)
        logits, labels = logits.index_select(0, rows), labels.index_select(0, rows)
        for loss in self.losses:
            if reads_work(loss):
                continue
            value = loss(logits, labels) * loss.weight
            self.sums[f"loss_{loss.name}"] = self.sums.get(f"loss_{loss.name}", 0) + value
        self.ious.append(mean_iou(logits.detach(), labels, scored[known]))
        self.frames += 1

    def add_work(self, work: list[Work]) -> None:
        """Add what sparse convolutions did for one frame."""
        self.work.extend(work)

    def result(self, parameters: Iterable[nn.Parameter]) -> dict[str, Tensor]:
        """Means over the frames; a zero loss that still reaches every parameter if no frame propagated anything."""
        if not self.frames:
            zero = sum(p.flatten()[0] for p in parameters if p.requires_grad) * 0.0
            return {f"loss_{loss.name}": zero for loss in self.losses}
        result = {name: value / self.frames for name, value in self.sums.items()}
        readers = list(filter(reads_work, self.losses))
        if readers:  # gates that decided nothing in this batch (first frames, few frames) are still reached
            zero = sum(p.flatten()[0] for p in parameters if p.requires_grad) * 0.0
        for loss in readers:
            result[f"loss_{loss.name}"] = (loss(self.work) + zero) * loss.weight
        if self.work:
            result["density"] = density(self.work)
        result["iou"] = torch.stack(self.ious).mean()
        return result


def reads_work(loss: nn.Module) -> bool:
    """Whether a loss looks at what sparse convolutions did, not at masks."""
    return getattr(loss, "reads_work", False)


def density(work: list[Work]) -> Tensor:
    """Share of the multiply-accumulates that gates chose to compute, where they decided (Eq. 12)."""
    chosen = sum(w.cost * w.chosen.detach() for w in work if w.decided)
    return torch.as_tensor(chosen / max(1, sum(w.cost * w.decided for w in work)))


def mean_iou(logits: Tensor, labels: Tensor, scored: Tensor) -> Tensor:
    """Mean IoU of hard masks over the objects marked in ``scored`` (B, O); 1 where neither mask has pixels."""
    best = logits.amax(dim=1)  # several times faster than argmax over channels on a CPU
    values = []
    for row, channel in scored.nonzero().tolist():
        ours, theirs = logits[row, channel + 1] == best[row], labels[row] == channel + 1
        union = (ours | theirs).sum()
        values.append(torch.where(union > 0, (ours & theirs).sum() / union.clamp(min=1), 1.0))
    return torch.stack(values).mean() if values else logits.new_zeros(())
