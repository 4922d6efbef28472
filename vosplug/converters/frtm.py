"""Weights of the official FRTM."""

from torch import nn

from ..registry import CONVERTERS
from .base import Conversion, Converter, keep_counters

LEVEL, OURS = r"(?P<level>layer[2-5])", r"decoder.levels.\g<level>"
BLOCK = (("conv1x1", "proj"), (r"bblock\.0", "conv1"), (r"bblock\.1", "norm"), (r"bblock\.3", "conv2"))


def block_rules(source: str, target: str) -> list[tuple[str, str]]:
    """Rules for a residual block of the segmentation network."""
    return [(rf"{source}\.{theirs}\.(?P<rest>.*)", rf"{target}.{ours}.\g<rest>") for theirs, ours in BLOCK]


@CONVERTERS.register_module(name="frtm")
class FRTMConverter(Converter):
    """Official FRTM (github.com/andr345/frtm-vos) -> ``configs/frtm_r101.py`` or ``configs/frtm_fast_r18.py``.

    A published checkpoint holds the segmentation network only; the weights of the backbone, ImageNet's, come from a
    file of their own. What the source calls ``layer1`` is the pooled stem, and ``layer2`` to ``layer5`` are the stages.
    """

    rules = (
        (rf"refiner\.TSE\.{LEVEL}\.(?P<rest>(?:reduce|transform)\..*)", rf"{OURS}.encoder.\g<rest>"),
        *block_rules(rf"refiner\.RRB1\.{LEVEL}", rf"{OURS}.block1"),
        *block_rules(rf"refiner\.RRB2\.{LEVEL}", rf"{OURS}.block2"),
        (rf"refiner\.CAB\.{LEVEL}\.convreluconv\.(?P<rest>.*)", rf"{OURS}.attention.scale.\g<rest>"),
        (r"refiner\.project\.(?P<rest>conv[12]\..*)", r"decoder.head.\g<rest>"),
        (r"feature_extractor\.(?P<rest>(?:conv1|bn1|layer[1-4])\..*)", r"backbone.\g<rest>"),
    )
    drop = ((r"discriminator\..*", "target models are learnt anew for every object"),
            (r"feature_extractor\.fc\..*", "the classifier of the backbone"))
    model_config = "frtm_r101.py"
    state_key = "model"
    backbone_prefix = "feature_extractor."

    def fit(self, result: Conversion, model: nn.Module) -> Conversion:
        """Add what old files of backbones lack."""
        return keep_counters(result, model)

    def rename(self, name: str) -> str | None:
        """Our name for a source name: stages are levels ``c2`` to ``c5``."""
        target = super().rename(name)
        return None if target is None else target.replace("levels.layer", "levels.c")
