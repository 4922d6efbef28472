"""Recomputing the golden outputs of the reuse gate."""

from typing import Any

import torch
from torch import Tensor, nn

from ..converters import ReuseVOSConverter
from ..models.frame_run import FrameRun
from ..models.segmentors.reuse_gated import FEATURE, TEMPLATE
from ..registry import PARITY_RUNS
from ..structures import Decision, Rows, RowStore, StepOutput, VideoState
from .frtm import FrameLog, FRTMParity


@PARITY_RUNS.register_module(name="reuse_vos")
class ReuseVOSParity(FRTMParity):
    """Runs ``configs/g_frtm_r101.py`` with the values of a manifest on its clip; see :class:`FRTMParity`."""

    config, converter = "g_frtm_r101.py", ReuseVOSConverter

    def model_options(self) -> dict[str, Any]:
        """Config of the model with the values of the manifest."""
        cfg = super().model_options()
        options = self.options
        self.manifest.adapt(cfg, {"tau": options["tau"], "matching.key_channels": options["template_key"],
                                  "matching.template_channels": options["template_value"],
                                  "matching.channels": options["template_out"]})
        return cfg

    def segmentor(self, model: nn.Module) -> nn.Module:
        """The FRTM behind the gate; what the gate's parts give is kept from here on."""
        self.watch_parts(model)
        return model.segmentor

    def watch_parts(self, model: nn.Module) -> None:
        """Keep dissimilarity, change and translated feature of every row."""
        compare, translate = model.compare, model.translate

        def compared(store: RowStore, early: Tensor, rows: Rows, run: FrameRun) -> Tensor:
            result = compare(store, early, rows, run)
            self.log_rows("dissimilarity", rows, result[:, ::8, ::2, ::2])
            return result

        def translated(store: RowStore, dissimilarity: Tensor, rows: Rows, run: FrameRun) -> tuple:
            result, change = translate(store, dissimilarity, rows, run)
            self.log_rows("delta", rows, change.delta[:, 0])
            self.log_rows("translated", rows, result[:, :-1][:, ::4])
            return result, change

        model.compare, model.translate = compared, translated

    def log_rows(self, name: str, rows: Rows, values: Tensor) -> None:
        """Keep a tensor of each row."""
        self.logs[-1].reuse.setdefault(name, {}).update(
            {key[1]: value.clone() for key, value in zip(rows.keys, values, strict=True)})

    def keep(self, log: FrameLog, state: VideoState, output: StepOutput) -> None:
        """Keep decisions, templates and kept features too."""
        super().keep(log, state, output)
        for decision in output.noted(Decision):
            log.reuse["probability"] = {key[1]: p for key, p in zip(decision.keys, decision.probability, strict=True)}
            log.reuse["reused"] = {key[1]: r for key, r in zip(decision.keys, decision.reused, strict=True)}
        (keys, features), (_, templates) = state.objects.held[FEATURE], state.objects.held[TEMPLATE]
        log.reuse["kept"] = {key[1]: x.clone() for key, x in zip(keys, features, strict=True)}
        log.reuse["template"] = {key[1]: x for key, x in zip(keys, templates, strict=True)}

    def table(self, name: str) -> Tensor:
        """[object, frame 1.., ...] of what was kept under ``name``; zeros where a frame has none of it."""
        some = next(log.reuse[name][i] for log in self.logs[1:] for i in self.ids if i in log.reuse.get(name, {}))
        return torch.stack([torch.stack([log.reuse.get(name, {}).get(i, torch.zeros_like(some))
                                         for log in self.logs[1:]]) for i in self.ids])

    def outputs(self) -> dict[str, Tensor]:
        """Outputs by the names and with the subsampling of the manifest."""
        plain, ids = super().outputs(), self.ids
        same = ("project_after_init", "filter_after_init", "scores", "logits", "masks", "label")
        chance = self.table("probability")
        return {
            **{name: plain[name] for name in same},
            "template": torch.stack([self.logs[0].reuse["template"][i] for i in ids]),
            "previous_refined_frame0": torch.stack([self.logs[0].reuse["kept"][i][::4] for i in ids]),
            "gate_probability": torch.stack([chance, 1 - chance], dim=-1),
            "gate": self.table("reused").to(torch.uint8),
            "delta_score": self.table("delta"),
            "previous_refined": self.table("kept")[:, :, ::8],
            "template_matching": self.table("dissimilarity"),
            "translated_features": torch.stack([log.reuse["translated"][i] for log in self.logs[1:]
                                                for i in ids if i in log.reuse.get("translated", {})]),
            "discriminator_frames_seen": torch.tensor([self.logs[-1].seen[i] for i in ids]),
            "filter_last": torch.stack([self.logs[-1].filters[i] for i in ids]),
        }
