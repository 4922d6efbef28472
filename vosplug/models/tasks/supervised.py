"""Training with the labels of clips."""

from typing import Any

import torch
from torch import Tensor, nn

from ...registry import TASKS
from ...structures import ClipRecord, ClipSample, FrameRecord
from ..losses.base import NoteLoss
from .clips import clip_prompts, first_frames, hide_unstarted, resized_to, to_channels


@TASKS.register_module(examples=[dict()])
class SupervisedClips:
    """Unroll clips from the masks of first frames, and compare with the labels of the others.

    This is how a model is trained that names no other task.
    """

    def loss(self, model: nn.Module, inputs: Tensor, data_samples: list[ClipSample]) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            model: a segmentor.
            inputs: (B, T, 3, H, W), as its preprocessor gives them.
            data_samples: B samples with ``labels`` (T, H, W) brought to the same size.

        Returns:
            ``loss_<name>`` of each loss of the model, what losses log beside, and ``iou``, the mean IoU of objects
            over the frames on which something was predicted.
        """
        record = self.record(model, inputs, data_samples)
        return losses_of(model, record)

    def record(self, model: nn.Module, inputs: Tensor, data_samples: list[ClipSample]) -> ClipRecord:
        """What happens on a batch of clips."""
        labels = torch.stack([s.labels for s in data_samples]).to(inputs.device).long()
        first = first_frames(data_samples, never=inputs.shape[1])
        prompts = clip_prompts(labels, first)
        order = tuple(value for prompt in prompts if prompt is not None for value in prompt.ids)
        order = tuple(dict.fromkeys(order))  # channels follow the order in which slots are prompted
        truth = [to_channels(hide_unstarted(labels[:, t], first, t), order) for t in range(inputs.shape[1])]
        record = ClipRecord()
        for t, output in enumerate(model.unroll(inputs, prompts, labels=truth)):
            logits = resized_to(output.logits, truth[t].shape[-2:], model.data_preprocessor)
            record.frames.append(FrameRecord(index=t, logits=logits, labels=truth[t], known=output.known,
                                             ids=output.ids, notes=output.notes))
        return record


def losses_of(model: nn.Module, record: ClipRecord) -> dict[str, Any]:
    """The losses of a model on a record, under the names that the training loop knows, and numbers for the log."""
    scored = record.scored()
    result = {f"loss_{loss.name}": loss(record) * loss.weight if scored else 0.0 for loss in model.losses}
    if not scored or any(isinstance(loss, NoteLoss) for loss in model.losses):
        reach = reach_of(model)
        result = {name: value + reach for name, value in result.items()}
    if scored:
        for loss in model.losses:
            result.update(loss.numbers(record))
        result["iou"] = torch.stack([mean_iou(*frame.predicted(), frame.known[frame.known.any(dim=1)])
                                     for frame in scored]).mean()
    return result


def reach_of(model: nn.Module) -> Tensor:
    """Zero, by which parts that had nothing to do in a batch are still reached: by a gradient of zero."""
    return sum(p.flatten()[0] for p in model.parameters() if p.requires_grad) * 0.0


@torch.no_grad()
def mean_iou(logits: Tensor, labels: Tensor, known: Tensor) -> Tensor:
    """Mean IoU of hard masks over the objects marked in ``known`` (B, O); 1 where neither mask has pixels."""
    best = logits.amax(dim=1)  # several times faster than argmax over channels on a CPU
    values = []
    for row, channel in known.nonzero().tolist():
        ours, theirs = logits[row, channel + 1] == best[row], labels[row] == channel + 1
        union = (ours | theirs).sum()
        values.append(torch.where(union > 0, (ours & theirs).sum() / union.clamp(min=1), 1.0))
    return torch.stack(values).mean() if values else logits.new_zeros(())
