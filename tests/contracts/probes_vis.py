"""What the parts of video instance segmentation answer when they are asked."""

import torch

from tests.models.tracklets.helpers import moving_squares
from vosplug import registry
from vosplug.models.losses.tracklet_matching import TrackletTargets
from vosplug.models.tracklets import InteractionOutput
from vosplug.models.tracklets.linking import ClipTracks
from vosplug.structures import VideoState

from .parts import STRIDES, pyramid_of
from .probes import probe
from .test_vis_parts import FRAME, B, C, K, N, T, clip_of


@probe(registry.LOSSES, "tracklets")
def tracklet_loss(part):
    """Costs, matches and losses of random outputs."""
    target = TrackletTargets.of(moving_squares()[1], torch.device("cpu"))
    corner = torch.rand(1, 3, 4, 2) * 30
    output = InteractionOutput(logits=torch.randn(1, 3, 4, 3), queries=torch.zeros(1, 3, 4, 8),
                               boxes=torch.cat([corner, corner + 20], dim=-1), masks=torch.randn(1, 3, 4, 3, 14, 14))
    matches = part.match(output, [target])
    return part.cost(output, 0, target), matches, part(output, [target], matches)


@probe(registry.NECKS)
def neck(part):
    return part(pyramid_of(2))


@probe(registry.NECKS, "joined")
def joining_neck(part):
    return part(pyramid_of(2, frame=(37, 51)))


@probe(registry.ROI_EXTRACTORS)
def roi_extractor(part):
    """Crops of boxes of many sizes."""
    features = [torch.randn(2, C, FRAME[0] // s + 1, FRAME[1] // s + 1) for s in STRIDES]
    corner = torch.rand(2, N, 2) * 20
    return part(features, torch.cat([corner, corner + torch.tensor([[1.0, 2], [9, 7], [30, 25], [120, 90]])], dim=-1))


@probe(registry.QUERIES)
def queries(part):
    """At first and after a clip."""
    first = part.initial(B)
    renewed = part.renew(torch.randn(B, T, part.num_queries, C))
    return first, part.repeat(first, T), renewed, part.proposals(torch.tensor([[40, 56], [20, 30]]), T)


@probe(registry.QUERY_ATTENTIONS)
def query_attention(part):
    return part(torch.randn(B, T, N, C))


@probe(registry.DYNAMIC_CONVS)
def dynamic_conv(part):
    return part(torch.randn(B, T, N, C), torch.randn(B, T, N, C, 3, 3))


@probe(registry.TRACKLET_HEADS)
def tracklet_head(part):
    return part(torch.randn(B, T, N, C), torch.randn(B, T, N, C, part.size, part.size))


@probe(registry.LINKERS)
def linker(part):
    """Names and queries over clips of one frame whose tracklets move, change their class, fade and come again."""
    state, initial, found = VideoState(), torch.randn(1, N, C), []
    for score in (0.8, 0.8, 0.8, 0.15, 0.05, 0.05, 0.8, 0.8):
        corner = 6 * torch.rand(1, 1, N, 2)
        tracks = ClipTracks(scores=torch.full((1, 1, N, K), score), boxes=torch.cat([corner, corner + 9], dim=-1),
                            masks=torch.rand(1, 1, N, 4, 4), labels=torch.randint(0, 2, (1, N)), ids=[])
        found.append(part.start(state, initial))
        found.append(part.finish(state, torch.randn(1, 1, N, C), tracks, (16, 32))[0].ids)
    return found


@probe(registry.VIS_SEGMENTORS)
def segmentor(model):
    """Two clips, or the losses of a pair of clips."""
    pictures = [moving_squares(start=3 * k) for k in range(2)]
    if not model.training:
        state = model.init_state()
        with torch.no_grad():
            tracks = [model.step(state, *clip_of(model, start=3 * k)) for k in range(2)]
        return [(t.scores, t.boxes, t.masks, t.ids[0].ids) for t in tracks]
    clips = [model.data_preprocessor({"inputs": [x], "data_samples": [sample]}, True) for x, sample in pictures]
    with torch.no_grad():
        return model(**{key: [*clips[0][key], *clips[1][key]] for key in clips[0]}, mode="loss")
