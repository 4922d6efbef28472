"""Training of clip-level video instance segmentation."""

import torch
from torch import Tensor, nn

from ...registry import TASKS
from ...structures import VISClipSample
from ...utils.errors import ConfigError
from ..losses.tracklet_matching import TrackletTargets
from ..tracklets.boxes import iou_and_giou
from ..tracklets.interaction import InteractionOutput


@TASKS.register_module(role="tracklets", examples=[dict()])
class SupervisedTracklets:
    """Match tracklets with instances after every interaction, clip by clip.

    Of a pair of clips the second starts from the first one's queries and keeps its assignment (EfficientVIS, section
    3.3, correspondence learning). Where the model says ``correspondence=False``, the clips of a pair are two videos
    (Table 1e).
    """

    def loss(self, model: nn.Module, inputs: list[Tensor],
             data_samples: list[list[VISClipSample]]) -> dict[str, Tensor]:
        """Losses of clips or pairs of clips, summed over the interactions and averaged over the clips of a pair.

        Args:
            model: a clip-level segmentor with ``criterion`` (a loss such as ``TrackletLoss``).
            inputs: P tensors (B, T, 3, H, W), normalised and padded.
            data_samples: P lists of B samples.

        Returns:
            ``loss_cls``, ``loss_l1``, ``loss_giou``, ``loss_dice``, ``loss_ce``, and ``box_iou`` of matched tracklets
            after the last interaction.
        """
        if model.correspondence and len(inputs) > 1 and not model.linker.carries:
            raise ConfigError(f"correspondence learning needs a linker that carries queries from clip to clip, "
                              f"{type(model.linker).__name__} does not: train with QueryLinking, test with either")
        state, fixed = model.init_state(len(inputs[0])), None
        totals: dict[str, Tensor] = {}
        for clip, samples in zip(inputs, data_samples, strict=True):
            if not model.correspondence:
                state, fixed = model.init_state(len(clip)), None
            targets = [TrackletTargets.of(sample, clip.device) for sample in samples]
            check_targets(samples, model.num_classes)
            sizes = torch.tensor([sample.masks.shape[-2:] for sample in samples], device=clip.device)
            outputs, _ = model.advance(state, clip, sizes)
            matches = None
            for output in outputs:
                matches = model.criterion.match(output, targets, fixed)
                for name, value in model.criterion(output, targets, matches).items():
                    totals[f"loss_{name}"] = totals.get(f"loss_{name}", 0.0) + value / len(inputs)
            fixed = matches
            totals["box_iou"] = totals.get("box_iou", 0.0) + matched_iou(outputs[-1], targets, matches) / len(inputs)
        return totals


def check_targets(samples: list[VISClipSample], num_classes: int) -> None:
    """Raise :class:`ConfigError` if a label is out of the classes of the model."""
    top = max((int(s.categories.max()) for s in samples if len(s.categories)), default=0)
    if top >= num_classes:
        raise ConfigError(f"the data set has a class {top}, counted from 0, but the model {num_classes} classes: set "
                          "model.num_classes to the number of categories of the data set")


def matched_iou(output: InteractionOutput, targets: list[TrackletTargets], matches: list) -> Tensor:
    """Mean IoU of boxes over the frames of matched instances, a scalar for the log; 0 if there is none."""
    values = [iou_and_giou(output.boxes[row].detach()[:, tracklets].transpose(0, 1), t.boxes[g])[0][t.present[g]]
              for row, (t, (tracklets, g)) in enumerate(zip(targets, matches, strict=True))]
    found = torch.cat(values)
    return found.mean() if len(found) else output.boxes.new_zeros(())
