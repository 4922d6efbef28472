"""Recomputing the golden outputs of STCN."""

import numpy as np
import torch
from torch import nn

from ..converters import STCNConverter
from ..registry import PARITY_RUNS, SEGMENTORS
from ..structures import Prompt
from ..utils.checkpoint import load_weights
from ..utils.configs import load_config
from ..utils.errors import CheckpointError
from .manifest import Manifest
from .recording import recorded
from .run import ParityRun


@PARITY_RUNS.register_module(name="stcn")
class STCNParity(ParityRun):
    """Runs ``configs/stcn_r50.py`` on the clip of a manifest, with its weights, in float64."""

    def __init__(self, manifest: Manifest, dtype: torch.dtype = torch.float64):
        super().__init__(manifest, dtype)
        self.seen: dict[str, list] = {}

    def build(self) -> nn.Module:
        """The model with the weights of the manifest, loaded strictly."""
        options = self.manifest.hyperparameters
        cfg = load_config(STCNConverter.model_config).model
        self.manifest.adapt(cfg, {"matching_head.top_k": options["top_k"], "memory.every": options["mem_every"],
                                  "memory.include_last": options["include_last"], "memory.max_tokens": None})
        model = SEGMENTORS.build(cfg)
        conversion = STCNConverter().convert({k: torch.from_numpy(v) for k, v in self.manifest.weights().items()})
        if conversion.unknown or conversion.dropped:
            raise CheckpointError(f"{self.manifest.path}: not all weights are used: {conversion.coverage()}")
        load_weights(model, conversion.state)
        return model.to(self.dtype).eval()

    def watch(self, model: nn.Module) -> None:
        """Keep the features of every frame, and the outputs of the value encoder and of the matching head."""
        self.seen = {"features": recorded(model, "encode_shallow"), "value": recorded(model.value_encoder, "forward"),
                     "readout": recorded(model.matching_head, "forward")}

    @torch.no_grad()
    def run(self) -> dict[str, np.ndarray]:
        """Outputs by the names and with the subsampling of the manifest."""
        model = self.build()
        self.watch(model)
        prob, state = self.propagate(model)
        frame1 = self.seen["features"][1]
        outputs = {
            "prob": prob[:, :, ::4, ::4],
            "argmax": prob.argmax(dim=0)[:, ::2, ::2],
            "key_frame1": frame1.key[0],
            "f16_thin_frame1": frame1.context[0, ::16],
            "f16_frame1": frame1.pyramid["c4"][0, ::32],
            "f8_frame1": frame1.pyramid["c3"][0, ::32, ::2, ::2],
            "f4_frame1": frame1.pyramid["c2"][0, ::16, ::4, ::4],
            "value_frame0": self.seen["value"][0][:, ::16],
            "readout_frame1": self.seen["readout"][0][:, ::16],
            # The temporary frame is beside the bank, not an element of it.
            "memory_size": torch.tensor([sum(e["key"].shape[-1] for e in state.memory.kept),
                                         sum(e["value"].shape[-1] for e in state.memory.kept)]),
        }
        return {name: value.numpy() for name, value in outputs.items()}

    def propagate(self, model: nn.Module):
        """Step through the clip: probabilities (O+1, T, H, W) on the padded frames, and the final state."""
        frames = torch.from_numpy(self.manifest.frames()).permute(0, 3, 1, 2)
        label = torch.from_numpy(self.manifest.label())
        ids = tuple(range(1, self.manifest.hyperparameters["num_objects"] + 1))
        state = model.init_state()
        probs = []
        for t, frame in enumerate(frames):
            x, geometry = model.data_preprocessor.frames(frame[None])
            prompt = None
            if t == 0:
                masks = torch.stack([label == i for i in ids])[None].to(self.dtype)
                prompt = Prompt(ids=ids, masks=model.data_preprocessor.masks(masks, geometry))
            probs.append(model.step(state, x, prompt, last=t == len(frames) - 1).prob[0])
            self.after_frame(state)
        return torch.stack(probs, dim=1), state

    def after_frame(self, state) -> None:
        """Called with the state after every frame: families with more states look into it here."""
