"""Weights of mmdet's QueryInst and its relatives, which EfficientVIS starts from."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..registry import CONVERTERS
from ..utils.errors import CheckpointError
from .base import Conversion, Converter

HEAD = r"roi_head\.bbox_head\.(\d+)\."
MASK = r"roi_head\.mask_head\.(\d+)\."
STARTS_NEUTRAL = "attention over time starts neutral"


class DetectorConverter(Converter):
    """What the detectors share: backbone and pyramid; what a model has beyond them keeps its start values."""

    rules: tuple = (
        (r"(backbone\..*)", r"\1"),
        (r"(neck\.(?:lateral_convs|fpn_convs)\.[0-3]\.conv\.(?:weight|bias))", r"\1"),
    )
    model_config = "efficientvis_r50.py"

    def fit(self, result: Conversion, model: nn.Module) -> Conversion:
        """Make the weights those of ``model``: its number of queries and classes, its kind of attention.

        The first N queries are taken. Layers of classes start anew where the number of classes differs. Attention
        across tracklets becomes attention across frames too, of which the output projection is zero, so that it changes
        nothing at first; joint attention takes the same weights.

        Raises:
            CheckpointError: a weight has another shape for another reason.
        """
        own = model.state_dict()
        fitted = Conversion(sources=dict(result.sources), dropped=dict(result.dropped), unknown=list(result.unknown))
        for name, value in own.items():
            source = attention_source(name, result.state)
            fitted.state[name] = self._value(name, value, source, result, fitted)
        for name in result.state.keys() - own.keys():
            used = ".attention.spatial." in name and name.replace(".spatial.", ".joint.") in own
            if not used:
                fitted.dropped[result.sources.get(name, name)] = "the model has no such part"
        return fitted

    def _value(self, name: str, value: Tensor, source: Tensor | None, result: Conversion,
               fitted: Conversion) -> Tensor:
        if source is None:
            fitted.kept[name] = "not in the source"
            return value
        if ".attention.temporal." in name and ".spatial." not in name and name not in result.state:
            fitted.kept[name] = STARTS_NEUTRAL
        if source.shape == value.shape:
            return source
        if name.startswith("queries.") and len(source) > len(value) and source.shape[1:] == value.shape[1:]:
            return source[: len(value)].clone()
        if ".fc_cls." in name or ".conv_logits." in name:
            reason = f"{len(source)} classes in the source, {len(value)} in the model"
            fitted.kept[name] = fitted.dropped[result.sources[name]] = reason
            return value
        raise CheckpointError(f"{name} has the shape {tuple(source.shape)} in the source and {tuple(value.shape)} in "
                              "the model: give the --config of a model with the source's backbone and heads")


def attention_source(name: str, state: Mapping[str, Tensor]) -> Tensor | None:
    """The weight of the source that a weight of our model starts from."""
    if name in state:
        return state[name]
    for kind in ("temporal", "joint"):
        twin = name.replace(f".attention.{kind}.", ".attention.spatial.")
        if twin == name or twin not in state:
            continue
        if kind == "temporal" and ".out_proj." in name:
            return torch.zeros_like(state[twin])
        return state[twin]
    return None


QUERY_RULES = (
    (r"rpn_head\.init_proposal_bboxes\.weight", r"queries.boxes.weight"),
    (r"rpn_head\.init_proposal_features\.weight", r"queries.embeddings.weight"),
    (HEAD + r"attention\.attn\.(.*)", r"interactions.\1.attention.spatial.attn.\2"),
    (HEAD + r"attention_norm\.(.*)", r"interactions.\1.attention.spatial.norm.\2"),
    (HEAD + r"instance_interactive_conv\.((?:dynamic_layer|norm_in|norm_out)\..*)",
     r"interactions.\1.head.dynamic_conv.\2"),
    (HEAD + r"instance_interactive_conv\.((?:fc_layer|fc_norm)\..*)", r"interactions.\1.head.\2"),
    (HEAD + r"instance_interactive_conv_norm\.(.*)", r"interactions.\1.head.norm.\2"),
    (HEAD + r"ffn\.layers\.0\.0\.(.*)", r"interactions.\1.head.ffn.0.\2"),
    (HEAD + r"ffn\.layers\.1\.(.*)", r"interactions.\1.head.ffn.2.\2"),
    (HEAD + r"((?:ffn_norm|cls_fcs|reg_fcs|fc_cls|fc_reg)\..*)", r"interactions.\1.head.\2"),
)


@CONVERTERS.register_module(name="queryinst")
class QueryInstConverter(DetectorConverter):
    """mmdet's QueryInst -> EfficientVIS."""

    rules = (
        *DetectorConverter.rules, *QUERY_RULES,
        (MASK + r"instance_interactive_conv\.(.*)", r"interactions.\1.mask_head.dynamic_conv.\2"),
        (MASK + r"((?:convs|upsample|conv_logits)\..*)", r"interactions.\1.mask_head.\2"),
    )


@CONVERTERS.register_module(name="sparse_rcnn")
class SparseRCNNConverter(DetectorConverter):
    """mmdet's Sparse R-CNN -> EfficientVIS, whose mask heads keep their start values."""

    rules = (*DetectorConverter.rules, *QUERY_RULES)


@CONVERTERS.register_module(name="mask_rcnn")
class MaskRCNNConverter(DetectorConverter):
    """mmdet's Mask R-CNN (and Faster R-CNN with FPN) -> backbone and pyramid of EfficientVIS."""

    drop = ((r"(?:rpn_head|roi_head)\..*", "proposals and heads of another kind"),)
