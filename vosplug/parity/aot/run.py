"""One run for all kinds of manifests of AOT and DeAOT."""

import numpy as np
import torch
from torch import nn

from ...converters import AOTConverter, DeAOTConverter
from ...registry import PARITY_RUNS, SEGMENTORS
from ...utils.checkpoint import load_weights
from ...utils.configs import load_config
from ...utils.errors import CheckpointError, InputError, did_you_mean
from ..manifest import Manifest
from .clips import late_object, many_objects, plain_clip
from .preprocessing import preprocessing
from .training import training
from .views import views

KINDS = {"plain": plain_clip, "late_object": late_object, "many_objects": many_objects, "flip_multiscale": views,
         "training": training, "preprocessing": preprocessing}


@PARITY_RUNS.register_module(name="aot-benchmark")
class AOTParity:
    """Runs the config that a manifest names, with its weights, gap, objects and clip, in float64.

    Args:
        manifest: of the family.
        dtype: floating type of the run.

    Attributes:
        sources: our name of each weight -> its name in the source; filled by :meth:`build`.
    """

    def __init__(self, manifest: Manifest, dtype: torch.dtype = torch.float64):
        self.manifest = manifest
        self.dtype = dtype
        self.sources: dict[str, str] = {}

    @property
    def kind(self) -> str:
        """What the manifest is about; a clip whose objects all start at frame 0 has no kind."""
        return self.manifest.spec.get("kind", "plain" if self.manifest.has_model else "preprocessing")

    def build(self, **options) -> nn.Module:
        """The model with the weights of the manifest, loaded strictly; ``options`` change its config.

        Raises:
            CheckpointError: the weights are not those of the variant that the manifest names.
        """
        settings = self.manifest.hyperparameters
        converter = (DeAOTConverter if settings["config_name"].split("_")[-1].startswith("deaot") else AOTConverter)()
        conversion = converter.convert({k: torch.from_numpy(v) for k, v in self.manifest.weights().items()})
        if conversion.unknown:
            raise CheckpointError(f"{self.manifest.path}: not all weights are used: {conversion.coverage()}")
        self.sources = conversion.sources
        whole = load_config(f"{settings['config_name']}.py")
        whole.merge_from_dict({f"model.{name}": value for name, value in options.items()})
        cfg = whole.model
        gap = settings.get("long_term_mem_gap", settings.get("train_long_term_mem_gap"))
        cfg.memory.update(gap=gap, train_gap=gap, max_tokens=None)
        cfg.max_objects = settings["max_obj_num"]
        model = SEGMENTORS.build(cfg)
        load_weights(model, conversion.state)
        return model.to(self.dtype).eval()

    def run(self) -> dict[str, np.ndarray]:
        """Outputs by the names and with the subsampling of the manifest."""
        if self.kind not in KINDS:
            raise InputError(f"{self.manifest.path}: no parity run for manifests of kind {self.kind!r}."
                             f"{did_you_mean(self.kind, KINDS)} Known: {', '.join(KINDS)}.")
        return {name: np.asarray(value) for name, value in KINDS[self.kind](self).items()}
