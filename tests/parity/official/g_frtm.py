"""G-FRTM with ResNet-18 and a short schedule."""

import types

import torch
from easydict import EasyDict
from torch import Tensor

from .common import OPTIMISED, manifest, recorded
from .frtm import CLIP, GAINS, OFFSETS, OPTIONS, OWN, Sequence, by_object, fixed_samples, load, prepare, watch

SOURCE = {"repository": "github.com/HYOJINPARK/Reuse_VOS", "commit": "dc7141b75b8a78c89d80cecc1ef81ee48f332655"}
TEMPLATE = {"template_key": 64, "template_value": 64, "template_out": 64}
TAU = 0.2912  # both decisions occur


def g_frtm() -> dict:
    """Objects are computed in some frames and reused in others."""
    extractor, options, refiner = prepare()
    from model import tracker
    from model.template_matching import LongtermTemplate

    key, value, out = TEMPLATE.values()
    matching = LongtermTemplate(extractor.get_out_channels()["layer3"] + 1, key, value, out)
    template = EasyDict(layer="layer3", Tmat_key=key, Tmat_val=value, Tmat_out=out, gateF=True)
    built = tracker.Tracker(types.SimpleNamespace(augment_first_frame=fixed_samples), extractor, options, matching,
                            template, refiner, "cpu")
    fill = {"gains": [*GAINS, ["Convert_Diff.", 0.3], ["convGS.4.", 0.35], ["Tmatching.Tgenerate.", 0.5],
                      ["refiner.Diff_process.", 0.8]], "offsets": OFFSETS}
    names, seen = load(built, extractor, options, fill), {}
    watch(built, tracker, extractor, seen)
    settings = {**OWN, **OPTIONS, "tau": TAU, **TEMPLATE}
    return manifest("g_frtm_r18", SOURCE, CLIP, settings, fill, names, run(built, seen), OPTIMISED)


def run(built, seen: dict) -> dict[str, Tensor]:
    """Step through the clip."""
    objects, gates, kept, deltas, inputs = CLIP["objects"], [], [], [], []
    first, chances = recorded(built.refiner, "Test_Init"), recorded(built.gSelect, "forward")
    translated, matched = recorded(built.refiner.Diff_process, "forward"), recorded(built.Tmatching, "forward")
    forward = built.refiner.Test_Forward

    def refined(score, features, gate, previous, delta, size):
        result = forward(score, features, gate, previous, delta, size)
        inputs.append(score.clone())
        gates.append(torch.tensor(gate, dtype=torch.uint8))
        deltas.append(torch.zeros_like(score) if delta is None else delta.clone())
        seen["logits"].append(result[0].clone())
        kept.append(result[1].clone())
        return result

    built.refiner.Test_Forward = refined
    labels, *_ = built.run_sequence(Sequence(CLIP), this_th=TAU)
    assert 0 < sum(gates) < len(gates), "both decisions have to occur"
    targets = [target.discriminator for target in built.targets.values()]
    return {
        "project_after_init": torch.stack([p[:, :, 0, 0] for p, _ in seen["begun"]]),
        "filter_after_init": torch.stack([f[0] for _, f in seen["begun"]]),
        "template": torch.cat(matched[:objects]), "previous_refined_frame0": torch.cat(first)[:, ::4],
        "gate_probability": by_object([x[1][0] for x in chances], objects), "gate": by_object(gates, objects),
        "delta_score": by_object(deltas, objects)[:, :, 0, 0], "scores": by_object(inputs, objects)[:, :, 0, 0],
        "logits": by_object(seen["logits"], objects)[:, :, 0, 0, ::4, ::4],
        "masks": torch.stack([x[:, ::4, ::4] for x in seen["masks"]], dim=1),
        "label": torch.stack(labels[1:]).to(torch.uint8), "previous_refined": by_object(kept, objects)[:, :, 0, ::8],
        "template_matching": by_object(matched[objects:], objects)[:, :, 0, ::8, ::2, ::2],
        "translated_features": torch.cat(translated)[:, ::4],
        "discriminator_frames_seen": torch.tensor([x.frame_num for x in targets]),
        "filter_last": torch.stack([x.filter.weight.detach()[0] for x in targets])}
