"""One run for all kinds of manifests of AOT and DeAOT."""

import numpy as np

from ...registry import PARITY_RUNS
from ...utils.errors import InputError, did_you_mean
from ..run import ParityRun
from .clips import late_object, many_objects, plain_clip
from .preprocessing import preprocessing
from .training import training
from .views import views

KINDS = {"plain": plain_clip, "late_object": late_object, "many_objects": many_objects, "flip_multiscale": views,
         "training": training, "preprocessing": preprocessing}


@PARITY_RUNS.register_module(name="aot-benchmark")
class AOTParity(ParityRun):
    """Runs the config that a manifest names, with its weights, gap, objects and clip, in float64."""

    @property
    def kind(self) -> str:
        """What the manifest is about; a clip whose objects all start at frame 0 has no kind."""
        return self.manifest.spec.get("kind", "plain" if self.manifest.has_model else "preprocessing")

    def run(self) -> dict[str, np.ndarray]:
        """Outputs by the names and with the subsampling of the manifest."""
        if self.kind not in KINDS:
            raise InputError(f"{self.manifest.path}: no parity run for manifests of kind {self.kind!r}."
                             f"{did_you_mean(self.kind, KINDS)} Known: {', '.join(KINDS)}.")
        return {name: np.asarray(value) for name, value in KINDS[self.kind](self.manifest, self.dtype).items()}
