"""Losses and gradients of single training steps."""

from typing import Any

import torch
from torch import Tensor, nn

from ...models.tasks import SupervisedClips
from ...models.tasks.supervised import losses_of
from ...structures import ClipRecord, ClipSample, ReferencePrediction
from ...utils.errors import InputError
from ..manifest import Manifest
from ..recording import recorded
from .building import build_model


def training(manifest: Manifest, dtype: torch.dtype) -> dict[str, Tensor]:
    """Every case of the manifest, a step of its own."""
    outputs = {}
    for case in manifest.spec["cases"]:
        outputs.update({f"{case['name']}_{name}": value for name, value in step_of(manifest, dtype, case).items()})
    return outputs


def step_of(manifest: Manifest, dtype: torch.dtype, case: dict[str, Any]) -> dict[str, Tensor]:
    """Losses, their terms, predictions and gradients of one step."""
    settings = manifest.hyperparameters
    masks = [dict(type="BootstrappedCE", start_warm=0, end_warm=float(settings["hard_mining_ratio"]),
                  top_p=settings["top_k_percent_pixels"], weight=settings["loss_weights"][0]),
             dict(type="SoftJaccardLoss", weight=settings["loss_weights"][1])]
    reference = dict(type="ReferenceLoss", losses=masks, until=case["aux_loss_ratio"],
                     weight=settings["aux_loss_weight"])
    forced = settings["sequential_start_ratio"] if case["stage"] == "main" else 1.0
    plain = {"matching_head.drop_path": settings["droppath"], "shuffle_identities": False, "labels_in_memory": forced}
    if "deaot" in settings["config_name"]:
        plain["matching_head.dropout"] = settings["dropout"]
    model, sources = build_model(manifest, dtype, **plain, losses=[*masks, reference])
    model.train()
    for module in model.modules():
        if hasattr(module, "set_progress"):
            module.set_progress(case["step"], case["total_steps"])
    object.__setattr__(model, "predicts_references", lambda run: True)  # also when its loss has the weight 0
    fine = recorded(model, "decode_fine")
    inputs, samples = batch_of(manifest, model)
    record = SupervisedClips().record(model, inputs, samples)
    loss = sum(value for name, value in losses_of(model, record).items() if name.startswith("loss_"))
    loss.backward()
    return {"loss": loss.detach().view(1), **terms_of(model, record, samples, fine),
            **gradients_of(model, sources, case)}


def batch_of(manifest: Manifest, model: nn.Module) -> tuple[Tensor, list[ClipSample]]:
    """Clips (B, T, 3, H, W) and their labels."""
    frames = torch.from_numpy(manifest.array("frames")).permute(0, 1, 4, 2, 3)
    labels = torch.from_numpy(manifest.array("labels"))
    samples = [ClipSample(labels=own, first_frames=(0,) * int(count), ids=tuple(range(1, int(count) + 1)))
               for own, count in zip(labels, manifest.array("num_objects"), strict=True)]
    return model.data_preprocessor.normalize(frames), samples


def terms_of(model: nn.Module, record: ClipRecord, samples: list[ClipSample], fine: list[Tensor]) -> dict[str, Tensor]:
    """Terms by frame and clip, logits and predictions; of frame 0 those of its reference pass."""
    reference = next(record.noted(ReferencePrediction)).logits
    logits = [reference, *(frame.logits for frame in record.frames[1:])]
    pairs = [[(x[b : b + 1, : s.num_objects + 1], frame.labels[b : b + 1]) for b, s in enumerate(samples)]
             for x, frame in zip(logits, record.frames, strict=True)]
    entropy, jaccard = (torch.stack([torch.stack([loss.pixels(*pair) for pair in frame]) for frame in pairs]).detach()
                        for loss in model.losses[:2])
    weights = [loss.weight for loss in model.losses[:2]]
    outputs = {"frame_loss": weights[0] * entropy + weights[1] * jaccard, "cross_entropy": entropy,
               "soft_jaccard": jaccard,
               "prediction": torch.stack([x.argmax(dim=1) for x in logits]).to(torch.uint8)}
    for b, sample in enumerate(samples):
        outputs[f"logits_clip{b}"] = torch.stack([x[b, : sample.num_objects + 1] for x in fine]).detach()
    return outputs


def gradients_of(model: nn.Module, sources: dict[str, str], case: dict[str, Any]) -> dict[str, Tensor]:
    """Norms by the order of the source's names, of all together, and two gradients in full."""
    grads = {sources[name]: p.grad for name, p in model.named_parameters() if p.grad is not None}
    if set(grads) != set(case["parameters"]):
        wrong = sorted(set(grads) ^ set(case["parameters"]))
        raise InputError(f"case {case['name']}: other weights have gradients than the manifest says: {wrong[0]}, ...")
    norms = torch.stack([grads[name].norm() for name in case["parameters"]])
    return {"grad_norm": norms, "grad_norm_total": norms.norm().view(1),
            "grad_conv_out": grads["decoder.conv_out.weight"].flatten(1),
            "grad_encoder_projector_bias": grads["encoder_projector.bias"]}
