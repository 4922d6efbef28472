"""Recomputing the golden outputs of CFBI."""

import numpy as np
import torch
from torch import Tensor, nn

from ..converters import CFBIConverter
from ..models.decoders.collaborative_ensembler import CollaborativeEnsembler, joint_logits
from ..models.tasks.supervised import SupervisedClips
from ..registry import DECODERS, PARITY_RUNS, SEGMENTORS
from ..structures import ClipSample, Geometry, Prompt, Rows, VideoState
from ..utils.checkpoint import load_weights
from ..utils.configs import load_config
from ..utils.errors import CheckpointError, InputError, did_you_mean
from .fill import fill_tensor
from .manifest import Manifest
from .recording import recorded
from .run import ParityRun

VOID_ROWS = 8  # of the current frame of a training clip
GROUPS = ("encoder.backbone.", "encoder.neck.aspp.", ("encoder.neck.low.", "encoder.neck.refine."),
          ("encoder.depthwise", "encoder.pointwise"), "decoder.prehead_", "decoder.", "matching_head.")


class Record:
    """What the parts of a model gave, by name, in order."""

    def __init__(self):
        self.seen: dict[str, list[Tensor]] = {}

    def watch(self, module: nn.Module, name: str) -> None:
        """Keep every output of ``module``."""
        self.seen[name] = []
        module.register_forward_hook(lambda _module, _inputs, output: self.seen[name].append(output.detach()))

    def watch_method(self, owner: object, method: str, name: str) -> None:
        """Keep everything that a method of one object returns."""
        self.seen[name] = recorded(owner, method)


@PARITY_RUNS.register_module(name="cfbi")
class CFBIParity(ParityRun):
    """Runs ``configs/cfbi_r101.py``, or its decoder, as a manifest says, with its weights, in float64."""

    def __init__(self, manifest: Manifest, dtype: torch.dtype = torch.float64):
        super().__init__(manifest, dtype)
        self.settings = manifest.hyperparameters
        self.mode = self.settings.get("mode", "clip")

    def run(self) -> dict[str, np.ndarray]:
        """Outputs by the names and with the subsampling of the manifest."""
        runs = {"clip": self.clip, "train": self.train, "decoder": self.decoder}
        if self.mode not in runs:
            raise InputError(f"{self.manifest.path}: no parity run of the mode {self.mode!r}."
                             f"{did_you_mean(self.mode, runs)} Known: {', '.join(runs)}.")
        return {name: np.asarray(value) for name, value in runs[self.mode]().items()}

    # Models -------------------------------------------------------------------------------------------------------

    def converted(self) -> tuple[dict[str, Tensor], dict[str, int]]:
        """Weights by our names, all of the source's, and the sizes that they tell."""
        given = {name: torch.from_numpy(value) for name, value in self.manifest.weights().items()}
        conversion = CFBIConverter().convert(given)
        if conversion.unknown or conversion.dropped:
            raise CheckpointError(f"{self.manifest.path}: not all weights are used: {conversion.coverage()}")
        return conversion.state, CFBIConverter.sizes(given)

    def build(self) -> nn.Module:
        """The model with the weights of the manifest, loaded strictly."""
        state, sizes = self.converted()
        model = load_config(CFBIConverter.model_config).model
        radii = sorted(self.settings.get("multi_local_distance", (2, 4, 6, 8, 10, 12)))
        self.manifest.adapt(model, {**sizes, "encoder.backbone.output_stride": self.settings["output_stride"],
                                    "encoder.neck.dropout": 0.0, "decoder.slots_per_pass": None,
                                    "matching_head.windows": (radii[-1], *radii[:-1]),
                                    "matching_head.global_stride": self.settings.get("global_atrous_rate", 1)})
        model = SEGMENTORS.build(model)
        load_weights(model, state)
        return model.to(self.dtype).eval()

    # A clip -------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def clip(self) -> dict[str, Tensor]:
        """Every tensor of a manifest that has a clip."""
        model, record = self.build(), Record()
        parts = {"aspp": model.encoder.neck.aspp, "deeplab": model.encoder.neck, "matches": model.matching_head,
                 "layer2": model.decoder.blocks[1], "layer5": model.decoder.blocks[4],
                 "layer8": model.decoder.blocks[7], "ensembler_aspp": model.decoder.aspp,
                 "decoder": model.decoder.refine[1]}
        for name, module in parts.items():
            record.watch(module, name)
        record.watch_method(model.encoder, "deep", "features")
        record.watch_method(model.decoder, "prehead", "prehead")
        record.watch_method(model, "vectors", "vectors")
        record.watch_method(model, "decode_fine", "logits")
        record.watch_method(model, "compose", "composed")
        labels = self.propagate(model)
        seen = record.seen
        first, second = list({id(x): x for x in seen["features"]}.values())[:2]  # asked for more than once
        fine = seen["logits"][0]
        return {
            "embedding_frame0": first.embedding[0, ::4, ::2, ::2], "backbone_frame0": first.pyramid["c5"][0, ::64],
            "aspp_frame0": seen["aspp"][0][0, ::16], "deeplab_frame0": seen["deeplab"][0][0, ::16, ::2, ::2],
            "embedding_frame1": second.embedding[0, ::4, ::2, ::2],
            "low_level_frame1": second.pyramid["c2"][0, ::16, ::4, ::4],
            "attention_head_frame1": seen["vectors"][0], "attention_head_last": seen["vectors"][-1],
            "prehead_input_frame1": seen["matches"][0][0, :, :, ::2, ::2],
            "prehead_input_last": seen["matches"][-1][0, :, :, ::4, ::4],
            "prehead_frame1": seen["prehead"][0][:, ::8, ::2, ::2],
            "ensembler_layer2_frame1": seen["layer2"][0][:, ::16, ::4, ::4],
            "ensembler_layer5_frame1": seen["layer5"][0][:, ::16, ::2, ::2],
            "ensembler_layer8_frame1": seen["layer8"][0][:, ::32],
            "ensembler_aspp_frame1": seen["ensembler_aspp"][0][:, ::16],
            "decoder_frame1": seen["decoder"][0][:, ::8, ::2, ::2],
            "fg_logit_frame1": fine[:, 0], "bg_logit_frame1": fine[:, 1],
            "logits": self.by_frame([joint(x)[:, ::2, ::2] for x in seen["logits"]]),
            "prob": self.by_frame([x[0].softmax(dim=0)[:, ::4, ::4] for x in seen["composed"][1:]]),
            "label": torch.stack(labels[1:]).to(torch.uint8)}

    def propagate(self, model: nn.Module) -> list[Tensor]:
        """Step through the clip: the labels (H, W) that each frame feeds back.

        The masks of frame 0 are given for frames of network size, without another size to come back to; those of later
        frames are brought to the size of the output.
        """
        frames = model.data_preprocessor.normalize(torch.from_numpy(self.manifest.frames()).permute(0, 3, 1, 2))
        label, joins = torch.from_numpy(self.manifest.label()), self.joins()
        state, labels = model.init_state(), []
        for t, frame in enumerate(frames):
            ids = tuple(number for number, start in joins.items() if start == t)
            masks = torch.stack([label == number for number in ids])[None].to(self.dtype) if ids else None
            model.step(state, frame[None], Prompt(ids=ids, masks=masks) if ids else None)
            labels.append(fed_back(state))
            if t == 0:
                state.geometry = Geometry(tuple(self.settings["output_size"]), tuple(frame.shape[-2:]))
        return labels

    def joins(self) -> dict[int, int]:
        """The frame at which each object starts."""
        starts = dict.fromkeys(range(1, self.settings["num_objects"] + 1), 0)
        starts.update({int(join["object"]): int(join["frame"]) for join in self.settings.get("joins", ())})
        return starts

    def by_frame(self, maps: list[Tensor]) -> Tensor:
        """Maps (O + 1, h, w) of every frame together, zero for objects that do not exist yet."""
        most = self.settings["num_objects"] + 1
        return torch.stack([torch.cat([x, x.new_zeros(most - len(x), *x.shape[1:])]) for x in maps])

    # A training step ----------------------------------------------------------------------------------------------

    def train(self) -> dict[str, Tensor]:
        """Losses of two clips at several steps, and the gradients at one of them."""
        model = self.build().train()
        inputs, samples = self.training_clips(model)
        losses, outputs = [], {}
        loss = model.losses[0]
        loss.end_warm, loss.top_p = self.settings["hard_mining_step"], self.settings["top_k_percent"]
        record = SupervisedClips().record(model, inputs, samples)
        current = record.frames[-1]
        values = loss.pixel_losses(current.logits, current.labels)
        for step in self.settings["steps"]:
            loss.set_progress(step, max(self.settings["steps"]) + 1)
            losses.append(torch.stack([loss.reduce(v) for v in values]))
            if step == self.settings["gradient_step"]:
                outputs = self.gradients(model, losses[-1].mean())
        predicted = current.logits.argmax(dim=1)[:, ::2, ::2]
        return {"loss": torch.stack(losses).detach(), "prediction": predicted, **outputs}

    def training_clips(self, model: nn.Module) -> tuple[Tensor, list[ClipSample]]:
        """The same cropped frames twice, with labels that move; clips differ in their number of objects."""
        top, left, height, width = self.settings["crop"]
        crop = (slice(top, top + height), slice(left, left + width))
        frames = torch.from_numpy(self.manifest.frames()[:, crop[0], crop[1]]).permute(0, 3, 1, 2)
        counts = self.settings["objects_per_clip"]
        samples = []
        for count in counts:
            label = self.manifest.inputs[f"mask{count}"][crop]
            labels = np.stack([np.roll(label, (2 * t, 4 * t), axis=(0, 1)) for t in range(len(frames))])
            labels[-1, :VOID_ROWS] = 255
            samples.append(ClipSample(labels=torch.from_numpy(labels), first_frames=(0,) * count,
                                      ids=tuple(range(1, count + 1))))
        return model.data_preprocessor.normalize(frames).expand(len(counts), -1, -1, -1, -1), samples

    def gradients(self, model: nn.Module, loss: Tensor) -> dict[str, Tensor]:
        """Norms of the gradients by parts of the model, and some in full."""
        names, parameters = zip(*model.named_parameters(), strict=True)
        grads = dict(zip(names, torch.autograd.grad(loss, parameters, retain_graph=True), strict=True))
        norms, left = [], dict(grads)
        for prefixes in GROUPS:
            own = [name for name in left if name.startswith(prefixes)]
            norms.append(torch.stack([left.pop(name).norm() for name in own]).norm())
        return {"gradient_norms": torch.stack(norms),
                "grad_biases": torch.cat([grads["matching_head.background_bias"], grads["matching_head.object_bias"]]),
                "grad_embedding_conv": grads["encoder.pointwise.weight"][::4, ::8, 0, 0],
                "grad_final_fg": grads["decoder.foreground.weight"][::4, ::8],
                "grad_final_bg": grads["decoder.background.weight"][::4, ::8],
                "grad_gct_sc_gamma": grads["decoder.fine.gate.gamma"].flatten(),
                "grad_prehead_conv": grads["decoder.prehead_conv.weight"][:, :, 0, 0],
                "grad_conv1": grads["encoder.backbone.conv1.weight"].flip(1)[::4]}  # stored for B, G, R

    # The decoder alone --------------------------------------------------------------------------------------------

    @torch.no_grad()
    def decoder(self) -> dict[str, Tensor]:
        """Logits of the decoder for every number of slots; the pre-head has no part in it."""
        state, sizes = self.converted()
        settings, prehead = self.settings, 64
        decoder = DECODERS.build(dict(
            type="CollaborativeEnsembler", match_channels=1, map_channels=settings["in_channels"] - prehead,
            vector_channels=settings["attention_channels"], low_channels=settings["low_level_channels"],
            prehead_channels=prehead, **{place.rpartition(".")[2]: size for place, size in sizes.items()}))
        own = {name: x for name, x in decoder.state_dict().items() if name.startswith("prehead_")}
        load_weights(decoder, {**own, **{name.removeprefix("decoder."): x for name, x in state.items()}})
        decoder = decoder.to(self.dtype).eval()
        grid = tuple(self.manifest.spec["outputs"][f"logits_{settings['slots'][0] - 1}obj"]["shape"][1:])
        low = self.made("input.low_level", (1, settings["low_level_channels"], *grid)).relu()
        return {f"logits_{slots - 1}obj": self.decode(decoder, slots, grid, low) for slots in settings["slots"]}

    def decode(self, decoder: CollaborativeEnsembler, slots: int, grid: tuple[int, int], low: Tensor) -> Tensor:
        """(S, h, w) for S slots."""
        x = self.made(f"input.x.{slots}", (slots, self.settings["in_channels"], *grid)).relu()
        vector = self.made(f"input.head.{slots}", (slots, self.settings["attention_channels"]))
        return joint(decoder(x, vector, low, Rows.of_table(torch.ones(1, slots, dtype=torch.bool), range(slots))))

    def made(self, key: str, shape: tuple[int, ...]) -> Tensor:
        """An input that the rule of the weights makes."""
        gains = [value for prefix, value in self.manifest.spec["fill"]["gains"] if key.startswith(prefix)]
        return torch.from_numpy(fill_tensor(key, shape, float(np.prod(gains)))).to(self.dtype)


def joint(logits: Tensor) -> Tensor:
    """Logits of all slots of one video (S, 2, h, w) as one distribution (S, h, w)."""
    return joint_logits(logits[None], torch.ones(1, len(logits) - 1, dtype=torch.bool))[0]


def fed_back(state: VideoState) -> Tensor:
    """(H, W) ids of the masks that were fed back last."""
    return (state.masks[0] * torch.tensor(state.ids.ids)[:, None, None]).sum(dim=0)
