"""Parts of EfficientVIS: each does what its equation says."""

import pytest
import torch
import torch.nn.functional as F

from vosplug.models.tracklets import (
    FactorisedAttention,
    JointAttention,
    PyramidRoIAlign,
    SpatialAttention,
    StillImageDynamicConv,
    TemporalAttention,
    TemporalDynamicConv,
    TrackletHead,
    TrackletMaskHead,
    TrackletQueries,
)
from vosplug.models.tracklets.boxes import apply_deltas, iou_and_giou, paste_masks
from vosplug.utils.errors import ConfigError

B, T, N, C = 2, 4, 3, 8


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def reaches(attention) -> torch.Tensor:
    """(T, N) bool: which embeddings the output at frame 1, tracklet 0 depends on."""
    queries = torch.randn(1, T, N, C, requires_grad=True)
    attention(queries)[0, 1, 0].square().sum().backward()
    return queries.grad[0].abs().sum(-1) > 1e-9


def awake(attention):
    """Attention over time begins neutral: give it an output projection."""
    for parameter in attention.parameters():
        if parameter.dim() > 1:
            torch.nn.init.xavier_uniform_(parameter)
    return attention


def test_each_attention_reaches_what_its_name_says():
    frame, tracklet = torch.zeros(T, N, dtype=torch.bool), torch.zeros(T, N, dtype=torch.bool)
    frame[1], tracklet[:, 0] = True, True
    assert torch.equal(reaches(awake(SpatialAttention(C, heads=2))), frame)
    assert torch.equal(reaches(awake(TemporalAttention(C, heads=2))), tracklet)
    assert reaches(awake(JointAttention(C, heads=2))).all()
    assert reaches(awake(FactorisedAttention(C, heads=2))).all()  # across time, then across tracklets: everything


def test_factorised_attention_starts_as_spatial_attention():
    both, spatial = FactorisedAttention(C, heads=2), SpatialAttention(C, heads=2)
    spatial.spatial.load_state_dict(both.spatial.state_dict())
    queries = torch.randn(B, T, N, C)
    assert torch.equal(both(queries), spatial(queries))
    assert not torch.allclose(awake(both)(queries), spatial(queries))


def reference_dynamic_conv(conv, queries, crops):
    """Eq. 3 written out location by location."""
    out = torch.zeros(*queries.shape[:3], crops.shape[-1] ** 2, C)
    for b in range(queries.shape[0]):
        for n in range(queries.shape[2]):
            for t in range(queries.shape[1]):
                first, second = conv.dynamic_layer(queries[b, t, n]).chunk(2)
                first, second = first.view(C, conv.hidden), second.view(conv.hidden, C)
                near = [s for s in range(t - conv.window, t + conv.window + 1) if 0 <= s < queries.shape[1]]
                results = {s: F.relu(conv.norm_out(F.relu(conv.norm_in(crops[b, s, n].flatten(1).T @ first)) @ second))
                           for s in near}
                scores = torch.stack([F.cosine_similarity(results[s], results[t], dim=-1) for s in near])
                weights = scores.softmax(dim=0)
                assert torch.allclose(weights.sum(0), torch.ones(weights.shape[1]))
                out[b, t, n] = sum(w[:, None] * results[s] for w, s in zip(weights, near, strict=True))
    return out


@pytest.mark.parametrize("window", [0, 1, 2])
@pytest.mark.parametrize("length", [1, 4])
def test_dynamic_conv_is_equation_3(window, length):
    conv = TemporalDynamicConv(C, hidden=5, window=window)
    queries, crops = torch.randn(B, length, N, C), torch.randn(B, length, N, C, 3, 3)
    assert torch.allclose(conv(queries, crops), reference_dynamic_conv(conv, queries, crops), atol=1e-5)


def test_still_image_conv_sees_its_frame_only_and_the_temporal_one_its_neighbours():
    for conv, expected in ((StillImageDynamicConv(C, hidden=4), [1]), (TemporalDynamicConv(C, hidden=4), [0, 1, 2])):
        crops = torch.randn(1, T, 1, C, 2, 2, requires_grad=True)
        conv(torch.randn(1, T, 1, C), crops)[0, 1].square().sum().backward()
        assert crops.grad.abs().sum((0, 2, 3, 4, 5)).nonzero()[:, 0].tolist() == expected


def test_one_query_is_repeated_and_time_shared_queries_are_averaged():
    queries = TrackletQueries(C, num_queries=N)
    start = queries.repeat(queries.initial(B), T)
    assert start.shape == (B, T, N, C) and (start == start[:, :1]).all() and torch.equal(start[0, 0], start[1, 2])
    proposals = queries.proposals(torch.tensor([[40, 60], [30, 20]]), T)
    assert proposals.shape == (B, T, N, 4)
    assert proposals[0, 3, 1].tolist() == [0, 0, 60, 40] and proposals[1, 0, 2].tolist() == [0, 0, 20, 30]
    x = torch.randn(B, T, N, C)
    assert queries.renew(x) is x
    shared = TrackletQueries(C, num_queries=N, time_shared=True).renew(x)
    assert torch.allclose(shared, x.mean(1, keepdim=True).expand_as(x))


def test_crops_of_a_pyramid_come_from_the_level_that_fits_and_chunks_change_nothing():
    strides, size = (4, 8, 16, 32), 256
    features = [torch.full((2, 3, size // s, size // s), float(s)) for s in strides]
    boxes = torch.tensor([[[0, 0, 40, 40], [0, 0, 130, 120.0], [0, 0, 240, 250], [0, 0, 800, 900]]]).repeat(2, 1, 1)
    roi = PyramidRoIAlign(strides, size=3)
    crops = roi(features, boxes)
    assert crops.shape == (2, 4, 3, 3, 3)
    assert crops[:, :, 0, 0, 0].tolist() == [[4, 8, 16, 32]] * 2
    mixed = [torch.randn_like(x) for x in features]
    for chunk in (1, 3, 100):
        assert torch.equal(PyramidRoIAlign(strides, size=3, rois_per_chunk=chunk)(mixed, boxes), roi(mixed, boxes))


def test_crops_of_a_ramp_are_the_positions_of_their_cells():
    ramp = (torch.arange(16.0) + 0.5).expand(1, 1, 16, 16)  # the value is the horizontal position, in cells
    crops = PyramidRoIAlign((4,), size=2)([ramp], torch.tensor([[[8.0, 8.0, 40.0, 24.0]]]))
    assert torch.allclose(crops[0, 0, 0, 0], torch.tensor([4.0, 8.0]))


def test_a_box_of_negative_size_is_cropped_as_an_empty_one():
    roi, x = PyramidRoIAlign((4,), size=2), torch.randn(1, 1, 16, 16)
    turned, empty = roi([x], torch.tensor([[[20.0, 8.0, 12.0, 6.0], [20.0, 8.0, 20.0, 8.0]]]))[0]
    assert torch.equal(turned, empty) and torch.isfinite(turned).all()


def test_heads_give_one_answer_per_frame():
    queries, crops = torch.randn(B, T, N, C), torch.randn(B, T, N, C, 7, 7)
    head = TrackletHead(C, num_classes=5, ffn_channels=16, dynamic_conv=dict(type="TemporalDynamicConv", hidden=4))
    head.reset()
    logits, deltas, renewed = head(queries, crops)
    assert logits.shape == (B, T, N, 5) and deltas.shape == (B, T, N, 4) and renewed.shape == queries.shape
    assert torch.allclose(head.fc_cls.bias.sigmoid(), torch.full((5,), 0.01))
    masks = TrackletMaskHead(C, num_classes=5, convs=2, size=7)(queries, crops)
    assert masks.shape == (B, T, N, 5, 14, 14)


def test_boxes_move_overlap_and_hold_masks():
    box = torch.tensor([10.0, 20.0, 30.0, 60.0])
    assert torch.equal(apply_deltas(box, torch.zeros(4)), box)
    moved = apply_deltas(box, torch.tensor([0.2, 0.0, 0.0, torch.log(torch.tensor(0.5)).item()]))
    assert torch.allclose(moved, torch.tensor([12.0, 30.0, 32.0, 50.0]))
    iou, giou = iou_and_giou(torch.tensor([0.0, 0.0, 2.0, 2.0]), torch.tensor([[1.0, 0.0, 3.0, 2.0], [4, 0, 6, 2]]))
    assert torch.allclose(iou, torch.tensor([1 / 3, 0.0])) and torch.allclose(giou, torch.tensor([1 / 3, -1 / 3]))
    masks = torch.ones(1, 6, 6)
    pasted = paste_masks(masks, torch.tensor([[4.0, 2.0, 10.0, 8.0]]), (12, 16)) > 0.5
    assert pasted[0, 2:8, 4:10].all() and pasted.sum() == 36


@pytest.mark.parametrize("make", [lambda: TrackletQueries(C, num_queries=0), lambda: TemporalDynamicConv(C, window=-1),
                                  lambda: PyramidRoIAlign((4,), rois_per_chunk=0),
                                  lambda: TrackletMaskHead(C, num_classes=2, convs=-1)])
def test_bad_options_are_refused(make):
    with pytest.raises(ConfigError, match="at least"):
        make()
