"""FRTM with ResNet-18 and a short schedule; what G-FRTM has in common with it."""

import sys
import types
from collections.abc import Iterator

import torch
from torch import Tensor

from .common import OPTIMISED, clip_of, filled, manifest, normalised, plain_resnets, recorded, shapes

FRTM = {"repository": "github.com/andr345/frtm-vos", "commit": "e994ac244d220ab2d94f170b4230623a6103a63d"}
OPTIONS = {"init_iters": [5, 8], "update_iters": [3], "c_channels": 96, "memory_size": 80,
           "learning_rate": 0.1, "filter_reg": [1e-4, 1e-2], "precond": [1e-4, 1e-2], "precond_lr": 0.1,
           "CG_forgetting_rate": 750, "pixel_weighting": {"method": "hinge", "tf": 0.1}, "train_skipping": 2}
OWN = {"backbone": "resnet18", "refiner_channels": 64}
GAINS = [["refiner.", 1.4], ["refiner.project.conv2.", 1.4],
         *([f"refiner.TSE.layer{level}.reduce.2.", 0.15] for level in (2, 3, 4, 5))]
OFFSETS = [["refiner.project.conv2.bias", 1.0]]
CLIP = {"frames": 5, "size": [62, 94], "objects": 2}


class Sequence:
    """A clip as the tracker reads it."""

    name = "clip"

    def __init__(self, clip: dict):
        frames, label = clip_of(clip)
        self.frames = normalised(frames)
        self.label = torch.from_numpy(label)[None]
        self.obj_ids = list(range(1, clip["objects"] + 1))

    def __len__(self) -> int:
        return len(self.frames)

    def __iter__(self) -> Iterator[tuple]:
        for t, frame in enumerate(self.frames):
            yield frame, self.label if t == 0 else [], self.obj_ids if t == 0 else []


def fixed_samples(image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Five samples of the first frame in the place of random ones: itself, mirrored, rolled twice, turned round."""
    views = [lambda x: x, lambda x: x.flip(-1), lambda x: x.roll((16, -24), (-2, -1)),
             lambda x: x.roll((-24, 32), (-2, -1)), lambda x: x.flip(-1, -2)]
    return torch.stack([view(image) for view in views]), torch.stack([view(mask) for view in views])


def prepare() -> tuple:
    """Extractor, options of the target model, refiner, and the names of the weights that both have."""
    plain_resnets()
    sys.modules["lib._npp"] = types.ModuleType("lib._npp")  # a CUDA library for warping
    sys.modules["lib._npp"].nppig_cpp = None
    from easydict import EasyDict
    from model.feature_extractor import ResnetFeatureExtractor
    from model.seg_network import SegNetwork

    grad = torch.autograd.grad
    torch.autograd.grad = lambda *tensors, **options: grad(
        *(tuple(x) if isinstance(x, list) else x for x in tensors), **options)  # its own lists of tensors
    extractor = ResnetFeatureExtractor("resnet18").to("cpu")
    # Frames come normalised, to the last digit as ours: learning amplifies it.
    extractor.norm_weight, extractor.norm_bias = torch.ones(1, 3, 1, 1), torch.zeros(1)
    channels = extractor.get_out_channels()
    options = EasyDict(layer="layer4", in_channels=channels["layer4"], out_channels=1, device="cpu",
                       update_filters=True, **{k: tuple(v) if isinstance(v, list) else v for k, v in OPTIONS.items()})
    levels = {level: count for level, count in channels.items() if level != "layer1"}
    return extractor, options, SegNetwork(1, OWN["refiner_channels"], levels, True)


def frtm() -> dict:
    """Learning of target models, and one update of them."""
    extractor, options, refiner = prepare()
    from model import tracker

    built = tracker.Tracker(types.SimpleNamespace(augment_first_frame=fixed_samples), extractor, options, refiner,
                            "cpu")
    fill = {"gains": GAINS, "offsets": OFFSETS}
    names, seen = load(built, extractor, options, fill), {}
    watch(built, tracker, extractor, seen)
    labels, *_ = built.run_sequence(Sequence(CLIP))
    first = [built.targets[number].discriminator for number in (1, 2)]
    outputs = {
        "project_after_gn_step_obj1": torch.stack([p[:, ::8, 0, 0] for p, _ in seen["steps"][0]]),
        "filter_after_gn_step_obj1": torch.stack([f[0] for _, f in seen["steps"][0]]),
        "augmented_layer4_obj1": thin(seen["features"][0])[..., ::2, ::2],
        "pixel_weights_obj1": seen["weights"][0][:, 0, ::8, ::8],
        "project_after_init": torch.stack([p[:, :, 0, 0] for p, _ in seen["begun"]]),
        "filter_after_init": torch.stack([f[0] for _, f in seen["begun"]]),
        **{f"feature_layer{level}_frame1": feature(seen["levels"][0], level) for level in range(1, 6)},
        "scores": by_object(seen["scores"], len(first))[:, :, 0, 0],
        "logits": by_object(seen["logits"], len(first))[:, :, 0, 0, ::4, ::4],
        "masks": torch.stack([x[:, ::4, ::4] for x in seen["masks"]], dim=1),
        "label": torch.stack(labels[1:]).to(torch.uint8),
        "memory_weights_obj1": torch.stack([x[0][0][:16] for x in seen["after"]]),
        "filter_after_frame": torch.stack([torch.stack([f[0, ::8] for _, f in x]) for x in seen["after"]])}
    return manifest("frtm_r18", FRTM, CLIP, {**OWN, **OPTIONS}, fill, names, outputs, OPTIMISED)


def load(built, extractor, options, fill: dict) -> dict[str, list[int]]:
    """Give all parts their weights; target models get theirs when they are made. Returns names and shapes."""
    targets = {f"discriminator.{number}.{part}.weight": shape for number in range(1, CLIP["objects"] + 1)
               for part, shape in (("project", [options.c_channels, options.in_channels, 1, 1]),
                                   ("filter", [1, options.c_channels, 3, 3]))}
    names = {**shapes(built.state_dict()), **shapes(extractor.resnet.state_dict(), "feature_extractor."), **targets}
    state = filled(names, fill)
    own = {name: value for name, value in state.items() if not name.startswith(("feature_extractor.", "discrim"))}
    built.load_state_dict(own)
    extractor.resnet.load_state_dict({name.removeprefix("feature_extractor."): value for name, value in state.items()
                                      if name.startswith("feature_extractor.")})
    built.initial = {name: value.double() for name, value in state.items() if name.startswith("discriminator.")}
    return names


def watch(built, tracker, extractor, seen: dict) -> None:
    """Start target models from the given weights, and keep what the tracker does."""
    seen.update({name: [] for name in ("steps", "features", "weights", "begun", "levels", "scores", "logits", "masks",
                                       "after")})
    initialize = tracker.TargetObject.initialize

    def begin(target, features, mask):
        disc = target.discriminator
        for part in ("project", "filter"):
            getattr(disc, part).weight.data = built.initial[f"discriminator.{target.object_id}.{part}.weight"].clone()
        seen["features"].append(features[target.disc_layer].clone())
        seen["weights"].append(disc.compute_pixel_weights(mask).clone())
        seen["steps"].append([])
        with torch.enable_grad():
            initialize(target, features, mask)
        seen["begun"].append((disc.project.weight.detach().clone(), disc.filter.weight.detach().clone()))

    from model import discriminator, optimizer

    step, update = optimizer.GaussNewtonCG.run_GN_iter, discriminator.Discriminator.update

    def stepped(self, iterations):
        step(self, iterations)
        if len(self.x) == 2:
            seen["steps"][-1].append(tuple(x.detach().clone() for x in self.x))

    def updated(self, masks):
        with torch.enable_grad():
            update(self, masks)

    optimizer.GaussNewtonCG.run_GN_iter, discriminator.Discriminator.update = stepped, updated
    tracker.TargetObject.initialize = begin
    classify, track = tracker.TargetObject.classify, built.track
    if not hasattr(built, "Tmatching"):
        seen["logits"] = recorded(built.refiner, "forward")

    def classified(target, features):
        seen["scores"].append(classify(target, features).detach().clone())
        return seen["scores"][-1]

    def tracked(image, *args):
        result = track(image, *args)
        seen["levels"].append(extractor(image[None] if image.dim() == 3 else image))
        seen["masks"].append(built.current_masks.clone())
        seen["after"].append([(t.discriminator.memory.weights.clone(), t.discriminator.filter.weight.detach().clone())
                              for t in built.targets.values()])
        return result

    tracker.TargetObject.classify = classified
    object.__setattr__(built, "track", tracked)


def by_object(values: list[Tensor], objects: int) -> Tensor:
    """Values in the order of frames, then objects -> (objects, frames, ...)."""
    return torch.stack([torch.stack(values[number::objects]) for number in range(objects)])


def thin(x: Tensor) -> Tensor:
    """16 channels at equal distances."""
    return x[..., :: x.shape[-3] // 16, :, :]


def feature(levels: dict[str, Tensor], number: int) -> Tensor:
    """A level of one frame, thinned."""
    step = {1: 4, 2: 4, 3: 2}.get(number, 1)
    return thin(levels[f"layer{number}"][0])[:, ::step, ::step]
