"""Weights of the public CFBI."""

import re
from collections.abc import Iterable

import torch
from torch import Tensor

from ..models.necks.deeplab import PUBLIC_NAMES
from ..registry import CONVERTERS
from ..utils.errors import CheckpointError, ConfigError
from .base import Conversion, Converter

ORDERS = ("rgb", "bgr")
STEM = "feature_extracter.backbone.conv1.weight"
ALIASES = {"semantic_embedding.0": "seperate_conv", "semantic_embedding.1": "bn1",
           "semantic_embedding.3": "embedding_conv", "semantic_embedding.4": "bn2"}
OTHERS = {r"dynamic_seghead\.S\d_": "CFBI+", r"feature_extracter\.backbone\.features\.": "CFBI on a MobileNet-V2"}
NECK, ENSEMBLER = r"feature_extracter\.", r"dynamic_seghead\."


def numbered(pattern: str, target: str, numbers: Iterable[int]) -> list[tuple[str, str]]:
    """Rules for parts that are counted from 1 there and from 0 here; ``#`` stands for the number."""
    return [(pattern.replace("#", str(number)), target.replace("#", str(number - 1))) for number in numbers]


@CONVERTERS.register_module(name="cfbi")
class CFBIConverter(Converter):
    """Public CFBI (github.com/z-x-yang/CFBI) with a ResNet-101 -> ``configs/cfbi_r101.py``.

    The source registers the projection of its embedding twice; the second names are left out if they hold the same.

    Args:
        input_order: ``rgb`` reverses the input channels of the stem, so that the model takes R, G, B; ``bgr`` leaves
            the order of the source.
    """

    rules = (
        (r"feature_extracter\.(backbone\..*)", r"encoder.\1"),
        *((NECK + theirs, f"encoder.neck.{ours}") for theirs, ours in PUBLIC_NAMES),
        (r"seperate_conv\.(.*)", r"encoder.depthwise.\1"),
        (r"bn1\.(.*)", r"encoder.depthwise_norm.\1"),
        (r"embedding_conv\.(.*)", r"encoder.pointwise.\1"),
        (r"bn2\.(.*)", r"encoder.pointwise_norm.\1"),
        (r"bg_bias", "matching_head.background_bias"),
        (r"fg_bias", "matching_head.object_bias"),
        (r"dynamic_prehead\.conv\.(.*)", r"decoder.prehead_conv.\1"),
        (r"dynamic_prehead\.bn\.(.*)", r"decoder.prehead_norm.\1"),
        *numbered(ENSEMBLER + r"IA#\.IA\.(.*)", r"decoder.gates.#.linear.\1", range(1, 12)),
        *numbered(ENSEMBLER + r"layer#\.GCT1\.(.*)", r"decoder.blocks.#.gate.\1", range(1, 9)),
        *numbered(ENSEMBLER + r"layer#\.bn([123])\.(.*)", r"decoder.blocks.#.norm\1.\2", range(1, 9)),
        *numbered(ENSEMBLER + r"layer#\.((?:conv|downsample).*)", r"decoder.blocks.#.\1", range(1, 9)),
        *numbered(ENSEMBLER + r"ASPP\.aspp#\.GCT\.(.*)", r"decoder.aspp.branches.#.gate.\1", range(1, 5)),
        *numbered(ENSEMBLER + r"ASPP\.aspp#\.atrous_conv\.(.*)", r"decoder.aspp.branches.#.block.conv.\1", range(1, 5)),
        *numbered(ENSEMBLER + r"ASPP\.aspp#\.bn\.(.*)", r"decoder.aspp.branches.#.block.norm.\1", range(1, 5)),
        (ENSEMBLER + r"ASPP\.global_avg_pool\.1\.(.*)", r"decoder.aspp.pooled.\1"),
        (ENSEMBLER + r"ASPP\.GCT\.(.*)", r"decoder.aspp.project.gate.\1"),
        (ENSEMBLER + r"ASPP\.conv1\.(.*)", r"decoder.aspp.project.block.conv.\1"),
        (ENSEMBLER + r"ASPP\.bn1\.(.*)", r"decoder.aspp.project.block.norm.\1"),
        (ENSEMBLER + r"GCT_sc\.(.*)", r"decoder.fine.gate.\1"),
        (ENSEMBLER + r"conv_sc\.(.*)", r"decoder.fine.block.conv.\1"),
        (ENSEMBLER + r"bn_sc\.(.*)", r"decoder.fine.block.norm.\1"),
        *numbered(ENSEMBLER + r"conv#\.(.*)", r"decoder.refine.#.conv.\1", (1, 2)),
        *numbered(ENSEMBLER + r"bn#\.(.*)", r"decoder.refine.#.norm.\1", (1, 2)),
        (ENSEMBLER + r"IA_final_fg\.(.*)", r"decoder.foreground.\1"),
        (ENSEMBLER + r"IA_final_bg\.(.*)", r"decoder.background.\1"),
    )
    drop = ((r"semantic_embedding\.\d\..*", "second names of the same weights"),)
    model_config = "cfbi_r101.py"

    def __init__(self, input_order: str = "rgb"):
        if input_order not in ORDERS:
            raise ConfigError(f"input_order must be one of {', '.join(ORDERS)}, got {input_order!r}")
        self.input_order = input_order

    def convert(self, state: dict[str, Tensor]) -> Conversion:
        """Rename.

        Raises:
            CheckpointError: the weights are those of a variant that there is no model for, or contradict themselves.
        """
        for pattern, family in OTHERS.items():
            if any(re.match(pattern, name) for name in state):
                raise CheckpointError(f"these are weights of {family}, which there is no model for here: only CFBI on "
                                      "a ResNet-101 can be converted")
        return super().convert(state)

    def prepare(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Check the second names, bring biases into shape, and the stem to the order of channels."""
        for name, value in state.items():
            alias, _, leaf = name.rpartition(".")
            twin = state.get(f"{ALIASES[alias]}.{leaf}") if alias in ALIASES else value
            if twin is None or not torch.equal(twin, value):
                raise CheckpointError(f"{name} and {ALIASES[alias]}.{leaf} are two names of one weight, but hold "
                                      "different values: the checkpoint is damaged")
        state = {name: value.flatten() if name in ("bg_bias", "fg_bias") else value for name, value in state.items()}
        if STEM in state and self.input_order == "rgb":
            state[STEM] = state[STEM].flip(1)
        return state

    @staticmethod
    def sizes(state: dict[str, Tensor]) -> dict[str, int]:
        """Options of the model that the shapes of a source's weights tell, by their place in its config."""
        head = {"decoder.channels": state["dynamic_seghead.layer1.conv3.weight"].shape[0],
                "decoder.refine_channels": state["dynamic_seghead.conv_sc.weight"].shape[0]}
        if "embedding_conv.weight" not in state:
            return head
        return {**head, "encoder.channels": state["embedding_conv.weight"].shape[0],
                "decoder.prehead_channels": state["dynamic_prehead.conv.weight"].shape[0]}
