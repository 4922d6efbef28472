"""Narrow segmentors, and clips to run them on."""

from pathlib import Path

import pytest
import torch
from mmengine import Config

from vosplug.registry import SEGMENTORS
from vosplug.structures import ClipSample, Prompt
from vosplug.utils.configs import load_config

from .parts import PROTOCOLS, examples

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
TINY_XMEM = {**TINY_R50, "model.sensory_channels": 8, "model.normal_update.mid_channels": 8}


def sparse(conv: str, policy: str, where: str = "QD", everywhere: bool = False) -> dict:
    """Changes of a config file that make its model sparse; ``policy`` is the type of a frame policy."""
    return {"model.sparse": sparse_options(conv, policy, where, everywhere)}


def sparse_options(conv: str, policy: str, where: str = "QD", everywhere: bool = False) -> dict:
    """The key ``sparse`` of a model."""
    loss = "ComputationLoss" if conv.startswith("Residual") else "SparsityLoss"
    return {"conv": {"type": conv}, "policy": {"type": policy}, "where": where, "everywhere": everywhere,
            "losses": [{"type": loss, "weight": 0.1}]}


# Segmentors that are tested sparse as well: name, number of its example, what is sparse in it, further changes.
SPARSE = [
    ("STCN", 0, ("TripleSparseConv", "Mixed"), {}), ("STCN", 0, ("TripleSparseConv", "Mixed", "QD", True), {}),
    ("STCN", 0, ("TripleSparseConv", "Fully", "QDM"), {}), ("STCN", 0, ("StaticSparseConv", "SemiMixed"), {}),
    ("STCN", 0, ("ResidualSparseConv", "Mixed"), {}), ("STCN", 1, ("TripleSparseConv", "Mixed"), {}),
    ("DeAOT", 0, ("TripleSparseConv", "Mixed", "QD", True), {}),
    ("CFBI", 0, ("TripleSparseConv", "Mixed", "QD", True), {}),
    ("XMem", 0, ("TripleSparseConv", "Mixed"), {"memory": {"type": "LongTermMemory", "train_candidates": 2}})]


def segmentor_cases() -> list:
    """Pytest parameters: configs of all examples of segmentors, and of their sparse forms."""
    found = [pytest.param(part.config, id=f"{part.name}-{part.number}") for part in examples(SEGMENTORS)]
    PROTOCOLS.add((SEGMENTORS.name, ""))
    return found + [pytest.param(sparse_model(*case), id=f"{case[0]}-{case[1]}-{'-'.join(map(str, case[2]))}")
                    for case in SPARSE]


def sparse_model(name: str, number: int, what: tuple, changes: dict) -> dict:
    """Config of a case of ``SPARSE``."""
    return SEGMENTORS.example(name, number, sparse=sparse_options(*what), **changes)


def build_model(config: dict, seed: int = 0):
    """A segmentor with seeded weights, in evaluation mode."""
    torch.manual_seed(seed)
    return SEGMENTORS.build(config).eval()


def build_example(name: str, number: int = 0, seed: int = 0):
    """An example of a segmentor."""
    return build_model(SEGMENTORS.example(name, number), seed)


def build_changed(name: str, options: dict):
    """The first example of a segmentor with changes, which have the dotted keys of a config file."""
    cfg = Config({"model": SEGMENTORS.example(name)})
    cfg.merge_from_dict(options)
    return build_model(cfg.model)


def build_tiny(config: str, options: dict, seed: int = 0):
    """A narrow model of a config file."""
    cfg = load_config(CONFIGS / config)
    cfg.merge_from_dict(options)
    return build_model(cfg.model, seed)


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
          removed: dict[int, list[int]] | None = None, state=None, correct: bool = False) -> list[torch.Tensor]:
    """Step through a clip; returns the unpadded logits (1, O+1, H, W) of each frame."""
    state = state or model.init_state()
    outputs = []
    with torch.no_grad():
        for t, frame in enumerate(frames):
            if removed and t in removed:
                model.remove_objects(state, removed[t])
            outputs.append(advance(model, state, frame, (prompts or {}).get(t), correct))
    return outputs


def advance(model, state, frame: torch.Tensor, prompt: tuple[tuple[int, ...], torch.Tensor] | None,
            correct: bool = False):
    """One frame through preprocessing, ``step()`` and unpadding."""
    x, geometry = model.data_preprocessor.frames(frame[None])
    if prompt is not None:
        prompt = Prompt(ids=prompt[0], masks=model.data_preprocessor.masks(prompt[1], geometry), native=prompt[1],
                        correct=correct)
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
