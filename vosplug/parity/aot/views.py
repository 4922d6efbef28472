"""Several sizes and mirror images of a clip, each on its own; the mean of their probabilities is written."""

import torch
from torch import Tensor

from ..manifest import Manifest
from .building import build_model
from .clips import as_ids, step_through


def views(manifest: Manifest, dtype: torch.dtype) -> dict[str, Tensor]:
    """Views in the order scale 0, its mirror image, scale 1, ...; each feeds back its own masks."""
    model, _ = build_model(manifest, dtype)
    settings = manifest.hyperparameters
    label = torch.from_numpy(manifest.label())
    probs = []
    for name in manifest.spec["inputs"]["frames_per_scale"]:
        frames = torch.from_numpy(manifest.array(name)[: settings["num_frames"]]).permute(0, 3, 1, 2)
        x = model.data_preprocessor.normalize(frames)
        for mirrored in (False, True) if settings["flip"] else (False,):
            view, own = (x.flip(-1), label.flip(-1)) if mirrored else (x, label)
            clip = step_through(model, view, {0: own}, tuple(settings["output_size"]))
            prob = torch.stack([logits.softmax(dim=0) for logits in clip.outputs[1:]])
            probs.append(prob.flip(-1) if mirrored else prob)
    each = torch.stack(probs)
    merged = each.mean(dim=0)
    ids = clip.state.ids.ids
    return {"prob_each": each[..., ::4, ::4], "prob_merged": merged[..., ::2, ::2],
            "label": torch.stack([as_ids(x, ids) for x in merged]),
            "label_each": torch.stack([torch.stack([as_ids(x, ids) for x in view]) for view in each])}
