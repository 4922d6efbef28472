"""Small instances of registered parts, and clips to run them on."""

from pathlib import Path

import torch

from vosplug.registry import SEGMENTORS
from vosplug.structures import ClipSample, Prompt
from vosplug.utils.configs import load_config

CONFIGS = Path(__file__).resolve().parent.parent.parent / "configs"
TINY_R50 = {
    "model.key_encoder.backbone": {"type": "ResNet", "depth": None, "block": "bottleneck", "blocks": (1, 1, 1),
                                   "stem_channels": 8, "widths": (4, 8, 8)},
    "model.key_encoder.key_channels": 8, "model.key_encoder.context_channels": 8,
    "model.value_encoder.backbone": {"type": "ResNet", "depth": None, "block": "basic", "blocks": (1, 1, 1),
                                     "stem_channels": 8, "widths": (4, 8, 8), "bias": True},
    "model.value_encoder.fuser.channels": 16, "model.decoder.compress_channels": 16,
    "model.decoder.up_channels": (8, 8),
}
TINY_SMALL = {
    "model.key_encoder.backbone.widths": (8, 16, 16), "model.value_encoder.backbone.widths": (8, 16, 16),
    "model.key_encoder.fusion.channels": 16, "model.value_encoder.fusion.channels": 16,
    "model.value_encoder.fuser.channels": 16, "model.decoder.compress_channels": 16,
    "model.decoder.up_channels": (16,), "model.key_encoder.key_channels": 16,
}
TINY_BACKBONE = {"type": "ResNet", "depth": None, "block": "basic", "blocks": (1, 1, 1, 1), "stem_channels": 8,
                 "widths": (8, 8, 8, 8), "frozen_stages": 0}
TINY_TARGET = {"augmentation": {"type": "CutAndPaste", "num_aug": 3}, "channels": 4, "init_iters": (2, 2),
               "update_iters": (2,), "update_every": 2, "capacity": 6,
               "train": {"channels": 3, "update_every": None, "augmentation": {"num_aug": 3}}}
TINY_FRTM = {"model.backbone": TINY_BACKBONE, "model.decoder.channels": 8, "model.losses": [{"type": "ObjectBCE"}],
             **{f"model.memory.{name}": value for name, value in TINY_TARGET.items()}}
TINY_GATE = {"model.translator.hidden": 8, "model.tau": 0.15}
TINY_XMEM = {**TINY_R50, "model.sensory_channels": 8, "model.normal_update.mid_channels": 8}

TINY_IDENTITY = {
    "model.encoder.backbone": {"type": "ResNet", "depth": None, "block": "basic", "blocks": (1, 1, 1),
                               "stem_channels": 8, "widths": (8, 8, 16)},
    "model.encoder.channels": 32, "model.matching_head.radius": 2, "model.decoder.channels": 32,
}
TINY_AOT = {**TINY_IDENTITY, "model.matching_head.heads": 2, "model.matching_head.hidden": 64}


def sparse(conv: str, policy: str, where: str = "QD", everywhere: bool = False) -> dict:
    """Options that make a model sparse; ``policy`` is the type of a frame policy."""
    loss = "ComputationLoss" if conv.startswith("Residual") else "SparsityLoss"
    return {"model.sparse": {"conv": {"type": conv}, "policy": {"type": policy}, "where": where,
                             "everywhere": everywhere, "losses": [{"type": loss, "weight": 0.1}]}}


def gated(options: dict) -> dict:
    """Options of a model, for the same model behind a reuse gate."""
    return {name.replace("model.", "model.segmentor.", 1): value for name, value in options.items()}


# One small instance of every registered segmentor family; a new family adds its line here.
FAMILIES = {
    "AOT": [("_base_/aot_model.py", TINY_AOT), ("_base_/aot_model.py", {**TINY_AOT, "model.matching_head.layers": 3,
                                                                       "model.memory.gap": 2})],
    "DeAOT": [("_base_/deaot_model.py", TINY_IDENTITY),
              ("_base_/deaot_model.py", {**TINY_IDENTITY, "model.matching_head.layers": 3, "model.memory.gap": 2}),
              ("_base_/deaot_model.py", {**TINY_IDENTITY, **sparse("TripleSparseConv", "Mixed", everywhere=True)})],
    "FRTM": [("_base_/frtm_model.py", TINY_FRTM),
             ("_base_/frtm_model.py", {**TINY_FRTM, "model.protocol": "youtube_vos"})],
    "ReuseGated": [
        ("_base_/g_frtm_model.py", {**gated(TINY_FRTM), "model.tau": 0.15}),
        ("g_stcn_r50.py", {**gated(TINY_R50), **TINY_GATE, "model.mode": "fusion", "model.tau_copy": 0.5}),
        ("g_stcn_small.py", {**gated(TINY_SMALL), **TINY_GATE, "model.gate": {"type": "ChangeGate"}}),
        ("g_spvos_r50.py", {**gated(TINY_R50), **TINY_GATE, "model.max_reuse": 2}),
        ("g_xmem_r50.py", {**gated(TINY_XMEM), **TINY_GATE, "model.mode": "copy"})],
    "STCN": [("_base_/stcn_r50_model.py", TINY_R50), ("_base_/stcn_small_model.py", TINY_SMALL),
                     ("_base_/stcn_r50_model.py", {**TINY_R50, **sparse("TripleSparseConv", "Mixed")}),
                     ("_base_/stcn_r50_model.py", {**TINY_R50, **sparse("TripleSparseConv", "Mixed", everywhere=True)}),
                     ("_base_/stcn_r50_model.py", {**TINY_R50, **sparse("TripleSparseConv", "Fully", where="QDM")}),
                     ("_base_/stcn_r50_model.py", {**TINY_R50, **sparse("StaticSparseConv", "SemiMixed")}),
                     ("_base_/stcn_r50_model.py", {**TINY_R50, **sparse("ResidualSparseConv", "Mixed")}),
                     ("_base_/stcn_small_model.py", {**TINY_SMALL, **sparse("TripleSparseConv", "Mixed")})],
    "XMem": [("_base_/xmem_r50_model.py", TINY_XMEM),
             ("_base_/xmem_r50_model.py", {**TINY_XMEM, **sparse("TripleSparseConv", "Mixed"),
                                           "model.memory.train_candidates": 2})],
}


def build_tiny(config: str, options: dict, seed: int = 0):
    """A narrow model of a config with seeded weights, in evaluation mode."""
    torch.manual_seed(seed)
    cfg = load_config(CONFIGS / config)
    cfg.merge_from_dict(options)
    return SEGMENTORS.build(cfg.model).eval()


def random_frames(count: int, size: tuple[int, int], seed: int = 0) -> torch.Tensor:
    """(T, 3, H, W) uint8: smooth noise that drifts, so that frames differ but belong together."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, size[0] // 8 + 4, size[1] // 8 + 4, generator=generator)
    wide = torch.nn.functional.interpolate(coarse, size=(size[0] + count, size[1] + count), mode="bilinear")[0]
    return torch.stack([(wide[:, t : t + size[0], t : t + size[1]] * 255).to(torch.uint8) for t in range(count)])


def boxes(count: int, size: tuple[int, int]) -> torch.Tensor:
    """(1, O, H, W) disjoint rectangles."""
    masks = torch.zeros(1, count, *size)
    width = size[1] // max(count, 1)
    for i in range(count):
        masks[0, i, size[0] // 4 : size[0] // 2 + 2, i * width : i * width + max(2, width - 2)] = 1
    return masks


def track(model, frames: torch.Tensor, prompts: dict[int, tuple[tuple[int, ...], torch.Tensor]] | None = None,
          removed: dict[int, list[int]] | None = None, state=None) -> list[torch.Tensor]:
    """Step through a clip; returns the unpadded logits (1, O+1, H, W) of each frame."""
    state = state or model.init_state()
    outputs = []
    with torch.no_grad():
        for t, frame in enumerate(frames):
            if removed and t in removed:
                model.remove_objects(state, removed[t])
            outputs.append(advance(model, state, frame, (prompts or {}).get(t)))
    return outputs


def advance(model, state, frame: torch.Tensor, prompt: tuple[tuple[int, ...], torch.Tensor] | None):
    """One frame through preprocessing, ``step()`` and unpadding."""
    x, geometry = model.data_preprocessor.frames(frame[None])
    if prompt is not None:
        prompt = Prompt(ids=prompt[0], masks=model.data_preprocessor.masks(prompt[1], geometry), native=prompt[1])
    return model.data_preprocessor.restore(model.step(state, x, prompt, geometry=geometry).logits, geometry)


def training_batch(model, clips: int = 2, length: int = 3, size: int = 48, seed: int = 0) -> dict:
    """A preprocessed batch; the first clip has two objects of which one appears late, the others have one."""
    labels = torch.zeros(length, size, size, dtype=torch.uint8)
    for t in range(length):
        labels[t, 8 + t : 24 + t, 8 : 24] = 1
    late = labels.clone()
    late[1:, 30:44, 28:44] = 2
    samples = [ClipSample(labels=late if i == 0 else labels, first_frames=(0, 1) if i == 0 else (0,),
                          ids=(1, 2) if i == 0 else (1,)) for i in range(clips)]
    inputs = []
    for i, sample in enumerate(samples):
        frames = random_frames(length, (size, size), seed + i)
        inputs.append(torch.where(sample.labels[:, None] > 0, 255 - frames // 2, frames // 3))
    return model.data_preprocessor({"inputs": inputs, "data_samples": samples}, True)
