"""What the registered parts of video instance segmentation must do."""

import copy

import pytest
import torch

from tests.models.tracklets.helpers import moving_squares
from vosplug import registry
from vosplug.models.tracklets.linking import ClipTracks
from vosplug.structures import Level, VideoState
from vosplug.utils.errors import InputError

from .parts import STRIDES, cases

B, T, N, C, K = 2, 3, 4, 8, 3
FRAME = (40, 56)  # no multiple of the coarsest stride


def all_trained(module, *outputs):
    """Every weight of ``module`` has a gradient, and all of them are finite."""
    sum(x.square().sum() for x in outputs).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in module.parameters())


@pytest.mark.parametrize("part", cases(registry.NECKS))
def test_necks_publish_their_levels(part):
    neck = part.build(in_levels={f"c{s}": Level(2 * s, s) for s in STRIDES})
    levels = neck({f"c{s}": torch.randn(2, 2 * s, -(-FRAME[0] // s), -(-FRAME[1] // s)) for s in STRIDES})
    assert neck.strides == STRIDES
    assert [tuple(x.shape) for x in levels] == [(2, neck.out_channels, -(-FRAME[0] // s), -(-FRAME[1] // s))
                                                for s in STRIDES]
    all_trained(neck, *levels)


@pytest.mark.parametrize("part", cases(registry.ROI_EXTRACTORS))
def test_roi_extractors_crop_each_box_by_itself(part):
    roi = part.build(strides=STRIDES, size=5)
    torch.manual_seed(1)
    features = [torch.randn(2, C, FRAME[0] // s + 1, FRAME[1] // s + 1, requires_grad=True) for s in STRIDES]
    corner = torch.rand(2, N, 2) * 20
    boxes = torch.cat([corner, corner + torch.tensor([[1.0, 2], [9, 7], [30, 25], [300, 200]])], dim=-1)
    crops = roi(features, boxes)
    assert crops.shape == (2, N, C, 5, 5) and torch.isfinite(crops).all()
    for n in range(N):
        assert torch.allclose(roi(features, boxes[:, n : n + 1])[:, 0], crops[:, n], atol=1e-5)
    assert roi(features, boxes[:, :0]).shape == (2, 0, C, 5, 5)
    points = torch.cat([boxes[..., :2], boxes[..., :2]], dim=-1)
    assert torch.isfinite(roi(features, points)).all()
    crops.sum().backward()
    assert all(x.grad is not None for x in features)


@pytest.mark.parametrize("part", cases(registry.QUERIES))
def test_queries_start_alike_in_all_frames_and_proposals_are_the_whole_frame(part):
    queries = part.build(channels=C)
    count = queries.num_queries
    first = queries.initial(B)
    repeated = queries.repeat(first, T)
    assert first.shape == (B, count, C) and repeated.shape == (B, T, count, C)
    assert all(torch.equal(repeated[:, t], first) for t in range(T))
    renewed = queries.renew(torch.randn(B, T, count, C))
    assert renewed.shape == (B, T, count, C)
    assert bool((renewed[:, 0] == renewed[:, 1]).all()) == bool(part.config.get("time_shared"))
    sizes = torch.tensor([[40, 56], [20, 30]])
    boxes = queries.proposals(sizes, T)
    assert boxes.shape == (B, T, count, 4)
    assert torch.allclose(boxes[1, 2, 0], torch.tensor([0.0, 0.0, 30.0, 20.0]))


@pytest.mark.parametrize("length, count", [(T, N), (1, N), (T, 1), (1, 1)])
@pytest.mark.parametrize("part", cases(registry.QUERY_ATTENTIONS))
def test_attentions_do_not_know_the_order_of_tracklets(part, length, count):
    attention = part.build(channels=C)
    for parameter in attention.parameters():
        if parameter.dim() > 1:
            torch.nn.init.xavier_uniform_(parameter)
    attention.eval()
    queries = torch.randn(B, length, count, C)
    out = attention(queries)
    assert out.shape == queries.shape and torch.isfinite(out).all()
    order = torch.randperm(count)
    assert torch.allclose(attention(queries[:, :, order]), out[:, :, order], atol=1e-5)
    assert torch.allclose(attention(queries[1:])[0], out[1], atol=1e-5)  # videos do not mix
    all_trained(attention.train(), attention(queries))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.isfinite(attention(queries)).all()


@pytest.mark.parametrize("length", [1, 2, 5])
@pytest.mark.parametrize("part", cases(registry.DYNAMIC_CONVS))
def test_dynamic_convolutions_work_on_each_tracklet_by_itself(part, length):
    conv = part.build(channels=C)
    queries, crops = torch.randn(B, length, N, C), torch.randn(B, length, N, C, 3, 3)
    out = conv(queries, crops)
    assert out.shape == (B, length, N, 9, C) and torch.isfinite(out).all()
    assert torch.allclose(conv(queries[:, :, 1:2], crops[:, :, 1:2])[:, :, 0], out[:, :, 1], atol=1e-5)
    window = conv.window
    changed = crops.clone()
    changed[:, 0] += 1  # reaches frames 0 ... window, and no other
    moved = (conv(queries, changed) - out).abs().amax(dim=(0, 2, 3, 4)) > 0
    assert moved.tolist() == [t <= window for t in range(length)]
    all_trained(conv, out)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.isfinite(conv(queries, crops)).all()


@pytest.mark.parametrize("part", cases(registry.TRACKLET_HEADS))
def test_heads_read_each_tracklet_by_itself(part):
    head = part.build(channels=C, num_classes=K).eval()
    queries, crops = torch.randn(B, T, N, C), torch.randn(B, T, N, C, head.size, head.size)

    def read(first, last):
        found = head(queries[:, :, first:last], crops[:, :, first:last])
        return found if isinstance(found, tuple) else (found,)

    outputs = read(0, N)
    shapes = {3: [(B, T, N, K), (B, T, N, 4), (B, T, N, C)], 1: [(B, T, N, K, 2 * head.size, 2 * head.size)]}
    assert [tuple(x.shape) for x in outputs] == shapes[len(outputs)]
    for whole, single in zip(outputs, read(2, 3), strict=True):
        assert torch.allclose(single[:, :, 0], whole[:, :, 2], atol=1e-5)
    all_trained(head.train(), *read(0, N))


def clip_tracks(score: float = 0.8, length: int = T, shift: float = 0.0) -> ClipTracks:
    """Tracks of N boxes side by side in every frame of two videos."""
    left = torch.arange(N) * 12.0 + shift
    boxes = torch.stack([left, torch.full((N,), 4.0), left + 10, torch.full((N,), 20.0)], dim=-1)
    scores = torch.full((B, length, N, K), 0.01)
    scores[..., 1] = score
    return ClipTracks(scores=scores, boxes=boxes.expand(B, length, N, 4), masks=torch.ones(B, length, N, 6, 6),
                      labels=torch.ones(B, N, dtype=torch.long), ids=[])


@pytest.mark.parametrize("part", cases(registry.LINKERS))
def test_linkers_name_every_tracklet_once_and_never_name_two_alike(part):
    linker, state = part.build(), VideoState(batch_size=B)
    assert isinstance(linker.carries, bool)
    initial, seen, gone = torch.randn(B, N, C), [set() for _ in range(B)], [set() for _ in range(B)]
    for clip, score in enumerate((0.8, 0.8, 0.01, 0.01, 0.8)):
        queries = linker.start(state, initial)
        assert queries.shape == initial.shape
        if clip == 0 or not linker.carries:
            assert torch.equal(queries, initial)
        names = linker.finish(state, torch.randn(B, T, N, C), clip_tracks(score), (32, 64))
        assert len(names) == B and all(len(set(ids.ids)) == N for ids in names)
        for row, ids in enumerate(names):
            assert not linker.carries or not gone[row] & set(ids.ids)  # a name that was given up does not come back
            gone[row] |= seen[row] - set(ids.ids)
            seen[row] |= set(ids.ids)
        if clip == 1 and score >= getattr(linker, "background_score", 0):
            assert all(seen[row] == set(names[row].ids) for row in range(B))  # what goes on keeps its name
    renewed = linker.start(VideoState(batch_size=B), initial)
    assert torch.equal(renewed, initial)  # a new video knows nothing of the last one


@pytest.mark.parametrize("part", cases(registry.LINKERS))
def test_linkers_keep_videos_apart(part):
    linker = part.build()
    states, alone = [VideoState(batch_size=B) for _ in range(2)], VideoState(batch_size=B)
    initial = torch.randn(B, N, C)
    made = []
    for clip in range(3):
        torch.manual_seed(clip)
        queries = torch.randn(B, T, N, C)
        for state, shift in ((states[0], 0.0), (states[1], 40.0), (alone, 0.0)):
            linker.start(state, initial)
            made.append(linker.finish(state, queries, clip_tracks(shift=shift), (32, 64)))
    assert [[ids.ids for ids in names] for names in made[0::3]] == [[ids.ids for ids in names] for names in made[2::3]]


def segmentor(part):
    return part.build().eval()


def clip_of(model, size=(48, 64), length=3, start=0):
    frames, geometry = model.data_preprocessor.frames(moving_squares(length, size=size, start=start)[0])
    return frames[None], [geometry.size]


def run(model, state, clips):
    with torch.no_grad():
        return [model.step(state, *clip) for clip in clips]


@pytest.mark.parametrize("part", cases(registry.VIS_SEGMENTORS))
def test_segmentors_take_clips_of_any_length_and_videos_of_any_size(part):
    model = segmentor(part)
    count = model.queries.num_queries
    for size in ((48, 64), (33, 61), (64, 47)):
        for length, tracks in zip((3, 1, 2), run(model, model.init_state(), [clip_of(model, size, n, 3 * k) for k, n in
                                                                             enumerate((3, 1, 2))]), strict=True):
            assert tracks.scores.shape == (1, length, count, 3) and tracks.boxes.shape == (1, length, count, 4)
            assert tracks.masks.shape[:3] == (1, length, count) and len(tracks.ids[0]) == count
            assert all(torch.isfinite(x).all() for x in (tracks.scores, tracks.boxes, tracks.masks))


@pytest.mark.parametrize("part", cases(registry.VIS_SEGMENTORS))
def test_videos_can_be_segmented_in_turns(part):
    model = segmentor(part)
    videos = [[clip_of(model, start=5 * v + 3 * k) for k in range(3)] for v in range(2)]
    alone = [run(model, model.init_state(), video) for video in videos]
    states, turns = [model.init_state() for _ in videos], [[], []]
    for k in range(3):
        for v, video in enumerate(videos):
            turns[v] += run(model, states[v], video[k : k + 1])
    for one, other in zip(alone, turns, strict=True):
        for a, b in zip(one, other, strict=True):
            assert torch.equal(a.scores, b.scores) and torch.equal(a.masks, b.masks) and a.ids[0].ids == b.ids[0].ids


@pytest.mark.parametrize("part", cases(registry.VIS_SEGMENTORS))
def test_a_state_can_be_copied_and_a_refused_clip_changes_nothing(part):
    model = segmentor(part)
    clips = [clip_of(model, start=3 * k) for k in range(2)]
    state = model.init_state()
    run(model, state, clips[:1])
    saved = copy.deepcopy(state)
    with pytest.raises(InputError, match="after clips of"):
        model.step(state, *clip_of(model, size=(64, 96)))
    expected, found = run(model, saved, clips[1:])[0], run(model, state, clips[1:])[0]
    assert torch.equal(expected.scores, found.scores) and expected.ids[0].ids == found.ids[0].ids


@pytest.mark.parametrize("part", cases(registry.VIS_SEGMENTORS))
def test_segmentors_run_in_bfloat16(part):
    model = segmentor(part)
    with torch.autocast("cpu", torch.bfloat16):
        tracks = run(model, model.init_state(), [clip_of(model)])[0]
    assert tracks.scores.dtype == torch.float32 and torch.isfinite(tracks.scores).all()
