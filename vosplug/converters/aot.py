"""Weights of the public AOT and DeAOT."""

import re
from collections.abc import Mapping

from torch import Tensor

from ..registry import CONVERTERS
from ..utils.errors import CheckpointError
from .base import Conversion, Converter

LAYER = r"LSTT\.layers\.(\d+)\."
BLOCK = r"matching_head.blocks.\1."
SIZES = {1: "t", 2: "s", 3: "l"}
COMMON = (
    (r"encoder\.((?:features|conv1|bn1|layer[123])\..*)", r"encoder.backbone.\1"),
    (r"encoder_projector\.(.*)", r"encoder.proj.\1"),
    (r"patch_wise_id_bank\.(.*)", r"identity_bank.conv.\1"),
    (r"decoder\.conv_in\.conv\.(.*)", r"decoder.conv_in.conv.\1"),
    (r"decoder\.conv_in\.gn\.(.*)", r"decoder.conv_in.norm.\1"),
    *((rf"decoder\.conv_{stride}x\.{theirs}\.(.*)", rf"decoder.convs.{number}.{ours}.\1")
      for number, stride in enumerate((16, 8, 4)) for theirs, ours in (("conv", "conv"), ("gn", "norm"))),
    *((rf"decoder\.adapter_{stride}x\.(.*)", rf"decoder.adapters.{number}.\1")
      for number, stride in enumerate((16, 8, 4))),
    (r"(decoder\.conv_out\..*)", r"\1"),
)


def in_block(rules: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Rules for the parts of a layer, from their names there and here."""
    return tuple((LAYER + re.escape(theirs) + r"(\..*)?", f"{BLOCK}{ours}" + r"\2")
                 for theirs, ours in rules.items())


class PropagationConverter(Converter):
    """What both families share: the number of layers and the backbone are found in the names.

    Attributes:
        family: name of the family.
        mark: a part of the first layer that only this family has.
        other: the family of the checkpoints that lack it.
    """

    family: str
    mark: str
    other: str

    def convert(self, state: Mapping[str, Tensor]) -> Conversion:
        """Rename, and set ``model_config`` to the config of the variant.

        Three layers are those of B and L, whose weights are alike: L is taken.

        Raises:
            CheckpointError: the weights are of the other family, of an encoder that there is no network for, or not of
                this kind at all.
        """
        self.model_config = f"{self.variant(state)}.py"
        return super().convert(state)

    def variant(self, state: Mapping[str, Tensor]) -> str:
        """Name of the variant that has these weights."""
        numbers = [int(match[1]) for name in state if (match := re.match(LAYER, name))]
        if not numbers:
            raise CheckpointError(f"these are no weights of {self.family}: none of the {len(state)} names begins with "
                                  f"LSTT.layers.; first names: {', '.join(list(state)[:3])}")
        if f"LSTT.layers.0.{self.mark}.weight" not in state:
            raise CheckpointError(f"these are weights of another family than {self.family}: layers without {self.mark}"
                                  f" are {self.other}'s")
        layers = max(numbers) + 1
        if layers not in SIZES:
            raise CheckpointError(f"{layers} propagation layers were found; {self.family} has 1 (T), 2 (S) or 3 (B, L)")
        if "encoder.features.18.0.weight" in state:
            return f"{self.family}{SIZES[layers]}"
        if "encoder.layer3.5.conv1.weight" in state and "encoder.layer3.6.conv1.weight" not in state and layers == 3:
            return f"r50_{self.family}l"
        raise CheckpointError(f"there is no {self.family} with {encoder_of(state)} and {layers} propagation "
                              f"layer{'s' if layers > 1 else ''} here: encoders are MobileNet-V2, and ResNet-50 with 3 "
                              "layers")


def encoder_of(state: Mapping[str, Tensor]) -> str:
    """What encoder a checkpoint seems to have."""
    names = [name for name in state if name.startswith("encoder.")]
    if any("relative_position_bias_table" in name or "patch_embed" in name for name in names):
        return "a Swin encoder"
    blocks = [int(match[1]) for name in names if (match := re.match(r"encoder\.layer3\.(\d+)\.", name))]
    if blocks:
        return {5: "ResNet-50", 22: "ResNet-101"}.get(max(blocks), f"a ResNet of {max(blocks) + 1} blocks in stage 3")
    return "an unknown encoder"


@CONVERTERS.register_module(name="aot")
class AOTConverter(PropagationConverter):
    """Public AOT (github.com/yoxu515/aot-benchmark) -> ``configs/aott.py`` and its kin."""

    family, mark, other = "aot", "linear_Q", "deaot"
    model_config = "aott.py"  # until the variant is known
    drop = ((r"LSTT\.mask_token", "a mask token that the source never uses"),)
    rules = (
        *COMMON,
        (r"LSTT\.decoder_norms\.(\d+)\.(.*)", r"matching_head.norms.\1.\2"),
        *in_block({
            "norm1": "self_norm", "norm2": "match_norm", "norm3": "feed_norm",
            "self_attn.linear_Q": "self_attention.query", "self_attn.linear_K": "self_attention.key",
            "self_attn.linear_V": "self_attention.value", "self_attn.projection": "self_attention.out",
            "linear_Q": "query_key", "linear_V": "value",
            "long_term_attn.projection": "long_out", "short_term_attn.projection": "short_out",
            "short_term_attn.relative_emb_k": "short_term.offset_logits",
            "short_term_attn.relative_emb_v": "short_term.offset_values",
            "linear1": "feed_forward.expand", "activation.gn": "feed_forward.norm",
            "activation.conv": "feed_forward.conv", "linear2": "feed_forward.reduce",
        }),
    )


@CONVERTERS.register_module(name="deaot")
class DeAOTConverter(PropagationConverter):
    """Public DeAOT (github.com/yoxu515/aot-benchmark) -> ``configs/deaott.py`` and its kin."""

    family, mark, other = "deaot", "linear_QV", "aot"
    model_config = "deaott.py"  # until the variant is known
    rules = (
        *COMMON,
        (r"id_norm\.(.*)", r"identity_bank.norm.\1"),
        (r"LSTT\.decoder_norms\.0\.gn\.(.*)", r"matching_head.norm.\1"),
        *in_block({
            "norm1": "norm", "linear_QV": "query_value", "linear_U": "gate", "linear_ID_V": "id_value",
            "id_norm1": "id_norm", "linear_ID_U": "id_gate",
            "long_term_attn.dw_conv.conv": "long_out.conv", "long_term_attn.projection": "long_out.proj",
            "short_term_attn.dw_conv.conv": "short_out.conv", "short_term_attn.projection": "short_out.proj",
            "short_term_attn.relative_emb_k": "short_term.offset_logits",
            "norm2": "self_norm", "id_norm2": "self_id_norm",
            "self_attn.linear_QK": "self_attention.query_key",
            **{f"self_attn.linear_{kind}{number + 1}": f"self_attention.{ours}.{number}"
               for kind, ours in (("V", "values"), ("U", "gates")) for number in (0, 1)},
            "self_attn.dw_conv.conv": "self_attention.out.conv", "self_attn.projection": "self_attention.out.proj",
        }),
    )
