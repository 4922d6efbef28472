"""Weights of mmdet's detectors: renamed, and fitted to models of other sizes. Equality of outputs: test_ancestor.py."""

import pytest
import torch

from tests.models.tracklets.helpers import tiny_model
from vosplug.converters import MaskRCNNConverter, QueryInstConverter, SparseRCNNConverter
from vosplug.utils.checkpoint import load_weights
from vosplug.utils.errors import CheckpointError

BACK = (("interactions.{}.attention.spatial.attn.", "roi_head.bbox_head.{}.attention.attn."),
        ("interactions.{}.attention.spatial.norm.", "roi_head.bbox_head.{}.attention_norm."),
        ("interactions.{}.head.dynamic_conv.", "roi_head.bbox_head.{}.instance_interactive_conv."),
        ("interactions.{}.head.fc_layer.", "roi_head.bbox_head.{}.instance_interactive_conv.fc_layer."),
        ("interactions.{}.head.fc_norm.", "roi_head.bbox_head.{}.instance_interactive_conv.fc_norm."),
        ("interactions.{}.head.norm.", "roi_head.bbox_head.{}.instance_interactive_conv_norm."),
        ("interactions.{}.head.ffn.0.", "roi_head.bbox_head.{}.ffn.layers.0.0."),
        ("interactions.{}.head.ffn.2.", "roi_head.bbox_head.{}.ffn.layers.1."),
        ("interactions.{}.head.", "roi_head.bbox_head.{}."),
        ("interactions.{}.mask_head.dynamic_conv.", "roi_head.mask_head.{}.instance_interactive_conv."),
        ("interactions.{}.mask_head.", "roi_head.mask_head.{}."))


def published(model, masks: bool = True) -> dict:
    """The weights of a spatial-attention model under mmdet's names."""
    state = {}
    for name, value in model.state_dict().items():
        if ".mask_head." in name and not masks:
            continue
        name = name.replace("queries.boxes", "rpn_head.init_proposal_bboxes")
        name = name.replace("queries.embeddings", "rpn_head.init_proposal_features")
        for stage in range(2):
            for ours, theirs in BACK:
                if name.startswith(ours.format(stage)):
                    name = theirs.format(stage) + name.removeprefix(ours.format(stage))
                    break
        state[name] = torch.randn_like(value) if value.is_floating_point() else value
    return state


def source(**options):
    return tiny_model(attention=dict(type="SpatialAttention", heads=4), **options)


def test_every_weight_of_queryinst_finds_its_place():
    state = published(source())
    result = QueryInstConverter().convert(state)
    assert not result.unknown and not result.dropped and len(result.state) == len(state)
    model = source(seed=1)
    fitted = QueryInstConverter().fit(result, model)
    load_weights(model, fitted.state)
    assert not fitted.kept
    assert torch.equal(model.interactions[1].head.ffn[2].weight, state["roi_head.bbox_head.1.ffn.layers.1.weight"])
    assert f"{len(state)} of {len(state)} weights converted" == fitted.coverage()


@pytest.mark.parametrize("kind", ["FactorisedAttention", "JointAttention", "TemporalAttention"])
def test_other_kinds_of_attention_start_from_the_spatial_one(kind):
    result = QueryInstConverter().convert(published(source()))
    model = tiny_model(seed=1, attention=dict(type=kind, heads=4))
    fitted = QueryInstConverter().fit(result, model)
    load_weights(model, fitted.state)
    spatial = result.state["interactions.0.attention.spatial.attn.in_proj_weight"]
    attention = model.interactions[0].attention
    for name, part in attention.named_children():
        assert torch.equal(part.attn.in_proj_weight, spatial)
        assert bool(part.attn.out_proj.weight.any()) == (name != "temporal")
    assert bool(fitted.kept) == (kind != "JointAttention")


def test_fewer_queries_are_the_first_ones_and_other_classes_start_anew():
    state = published(source(num_classes=7, queries=dict()))
    result = QueryInstConverter().convert(state)
    model = source(seed=1)
    model.queries.embeddings = torch.nn.Embedding(3, 16)
    model.queries.boxes = torch.nn.Embedding(3, 4)
    own = model.interactions[0].head.fc_cls.weight.clone()
    fitted = QueryInstConverter().fit(result, model)
    load_weights(model, fitted.state)
    assert torch.equal(model.queries.embeddings.weight, state["rpn_head.init_proposal_features.weight"][:3])
    assert torch.equal(model.interactions[0].head.fc_cls.weight, own)
    assert len(fitted.kept) == 2 * 4 and "7 classes in the source, 3 in the model" in fitted.coverage()


def test_sparse_rcnn_brings_everything_but_masks_and_mask_rcnn_its_pyramid():
    model = tiny_model(seed=1)
    masks = model.interactions[0].mask_head.conv_logits.weight.clone()
    fitted = SparseRCNNConverter().fit(SparseRCNNConverter().convert(published(source(), masks=False)), model)
    load_weights(model, fitted.state)
    assert torch.equal(model.interactions[0].mask_head.conv_logits.weight, masks)
    state = {k: v for k, v in published(source()).items() if k.startswith(("backbone.", "neck."))}
    state["rpn_head.rpn_conv.weight"] = state["roi_head.bbox_head.shared_fcs.0.weight"] = torch.zeros(1)
    fitted = MaskRCNNConverter().fit(MaskRCNNConverter().convert(state), model)
    load_weights(model, fitted.state)
    assert torch.equal(model.neck.fpn_convs[0].conv.weight, state["neck.fpn_convs.0.conv.weight"])
    assert "2 left out on purpose" in fitted.coverage()


def test_another_width_is_refused():
    result = QueryInstConverter().convert(published(source()))
    name = "interactions.0.head.fc_layer.weight"
    result.state[name] = result.state[name][:, :5]
    with pytest.raises(CheckpointError, match="give the --config"):
        QueryInstConverter().fit(result, source(seed=1))
