"""What the registered parts of a kind must do. A new part is tested by its line here; without one, a test names it."""

import copy

import pytest
import torch

from vosplug import registry
from vosplug.models.memories import FrameBank, Memory, MemoryEntry, MemoryState
from vosplug.structures import ClipRecord, FrameRecord, Level, ReferencePrediction, Rows, Work
from vosplug.utils.errors import ConfigError, InputError

CPU = torch.device("cpu")
LEVELS = {"c2": Level(6, 4), "c3": Level(8, 8), "c4": Level(12, 16)}
FRAME, ODD_FRAME = (32, 48), (37, 51)

# kind -> part -> options of one small instance and more. What a segmentor passes on is added by the tests.
CASES = {
    "BACKBONES": {"MobileNetV2": [dict(width=0.1), dict(width=0.1, norm=dict(type="FrozenBN"), output_stride=16)],
                  "ResNet": [*(dict(depth=None, block=block, blocks=(1,) * len(widths), stem_channels=4, widths=widths)
                               for block in ("basic", "bottleneck") for widths in ((4, 6, 8), (4, 6, 8, 10))),
                             *(dict(depth=None, block="bottleneck", blocks=(1, 2, 1, 2), stem_channels=4,
                                    widths=(4, 6, 8, 10), norm=dict(type="FrozenBN"), stem_levels=True,
                                    output_stride=stride) for stride in (8, 16))]},
    "ENCODERS": {
        "KeyEncoder": [dict(key_channels=5, context_channels=c, anisotropic=c is None) for c in (None, 7)],
        "ValueEncoder": [dict(fuser=dict(type="ResidualFuser", channels=9), base_channels=11)],
        "PixelEmbedding": [dict(channels=8, neck=dict(type="DeepLabV3Plus", channels=8, low_channels=4, rates=rates,
                                                      norm=dict(type="GN"))) for rates in (None, (2, 3))],
        "ProjectedEncoder": [dict(channels=7)]},
    "MATCHING_HEADS": {"LongShortTermTransformer": [dict(layers=n, heads=2, hidden=32, radius=1) for n in (1, 2)],
                       "GatedPropagation": [dict(layers=n, radius=1) for n in (1, 2)],
                       "GlobalLocalMatching": [dict(windows=(3, 1)), dict(windows=(2,), downsample=1, background=False),
                                               dict(windows=(3, 1), global_stride=2, max_elements=50)],
                       "SSTEncoder": [
                           dict(attentions=[dict(type="LocalAttention", h=2)], heads=2),
                           dict(attentions=[dict(type="GridAttention")] * 2, heads=2, downsample=1, heads_kept="all"),
                           dict(attentions=[dict(type="DenseAttention")], heads=2, causal=True, cache="layers"),
                           dict(attentions=[dict(type="GridAttention")], heads=2, affinity=False)],
                       "L2Matching": [dict(), dict(top_k=3), dict(prior=dict(type="LocalityPrior"))],
                       "AnisotropicL2Matching": [dict(), dict(top_k=3)]},
    "ATTENTIONS": {"GridAttention": [dict()], "LocalAttention": [dict(h=1), dict(h=3)],
                   "StridedAttention": [dict(h=2)], "DenseAttention": [dict()],
                   "MixedHeadsAttention": [dict(parts=[dict(type="GridAttention"), dict(type="LocalAttention", h=2)])]},
    "DECODERS": {"CollaborativeEnsembler": [dict(channels=16, prehead_channels=8, refine_channels=8,
                                                 slots_per_pass=size) for size in (None, 2)],
                 "MaskDecoder": [dict(compress_channels=8, up_channels=(8, 8)),
                                 dict(compress_channels=8, up_channels=(8, 8), previous_masks=True),
                                 dict(compress_channels=8, up_channels=(8, 8), fuser=dict(type="CBAMFuser"))],
                 "FPNDecoder": [dict(channels=16, context=context) for context in (True, False)]},
    "LOSSES": {"BootstrappedCE": [dict(), dict(start_warm=0, end_warm=0, top_p=0.2)], "DiceLoss": [dict()],
               "SoftJaccardLoss": [dict()],
               "ReferenceLoss": [dict(losses=[dict(type="SoftJaccardLoss"), dict(type="DiceLoss", weight=0.5)])],
               "SparsityLoss": [dict(), dict(target=0.5, beta=0.0)], "ComputationLoss": [dict(weight=0.5)]},
    "SPARSE_CONVS": {"DenseConv": [dict()], "TripleSparseConv": [dict(), dict(tau=0.5)],
                     "StaticSparseConv": [dict()], "ResidualSparseConv": [dict()]},
    "MEMORIES": {"FrameBank": [dict(), dict(include_last=True), dict(max_frames=3), dict(every=3, since="kept"),
                               dict(every=1, max_frames=3, keep_prompts=False), dict(every=None, train_every=None)],
                 "LayeredBank": [dict(), dict(gap=2)],
                 "LongTermMemory": [dict(), dict(max_mid_term_frames=3, min_mid_term_frames=2, num_prototypes=6,
                                                 max_long_term_elements=18)]},
    "PREPROCESSORS": {"VOSPreprocessor": [dict(), dict(divisor=8)], "VISPreprocessor": [dict(divisor=32)],
                      "ResizingPreprocessor": [dict(), dict(divisor=8, align_corners=False)]},
}
# Layers serve different purposes: the name of the test in this file that covers each.
LAYERS = {"TopDownFusion": "fusion", "LastStage": "fusion", "CBAMFuser": "fuser", "ResidualFuser": "fuser",
          "LocalityPrior": "prior", "SensoryGRU": "update", "MultiScaleUpdate": "update", "IdentityBank": "identities",
          "SinePositions": "positions", "NoPosition": "spacetime", "SinusoidalPosition": "spacetime",
          "LearnedPosition": "spacetime", "FilterResponseNorm": "token norm", "DropPath": "drop"}
MASK_LOSSES = ("BootstrappedCE", "DiceLoss", "SoftJaccardLoss")
READERS = ("L2Matching", "AnisotropicL2Matching")  # heads that read values by keys; others propagate
VIS_LOSSES = {"TrackletLoss"}  # tests/contracts/test_vis_parts.py


def cases(kind, *, only=None):
    """Pytest parameters of a kind: (part, options)."""
    return [pytest.param((part, options), id=f"{part}-{number}") for part, every in CASES[kind].items()
            for number, options in enumerate(every) if only is None or part in only]


def build(kind, case, **given):
    """Build a case with seeded weights; the config is not changed by that."""
    part, options = case
    torch.manual_seed(0)
    cfg = dict(type=part, **copy.deepcopy(options))
    before = copy.deepcopy(cfg)
    built = getattr(registry, kind).build(cfg, **given)
    assert cfg == before
    return built


def own(members):
    """Names of parts that are ours: tests may register others."""
    return {name for name, cls in members.items() if cls.__module__.startswith("vosplug.")}


@pytest.mark.parametrize("kind", CASES)
def test_every_registered_part_has_a_case(kind):
    found = own(getattr(registry, kind).members())
    found -= VIS_LOSSES if kind == "LOSSES" else set()
    assert found == set(CASES[kind]), f"{kind}: add a case for {sorted(found ^ set(CASES[kind]))}"


def test_every_registered_layer_has_a_test():
    found = own(registry.LAYERS.members())
    assert found == set(LAYERS), f"LAYERS: add a case for {sorted(found ^ set(LAYERS))}"


@pytest.mark.parametrize("kind", [*CASES, "LAYERS", "SEGMENTORS"])
def test_every_part_is_documented(kind):
    for name, cls in getattr(registry, kind).members().items():
        assert (cls.__doc__ or "").strip(), f"{name} has no docstring"


def pyramid_of(batch, levels=None, frame=FRAME):
    """Random maps by level."""
    return {name: torch.randn(batch, level.channels, *(-(-side // level.stride) for side in frame))
            for name, level in (levels or LEVELS).items()}


@pytest.mark.parametrize("channels", [3, 5])
@pytest.mark.parametrize("case", cases("BACKBONES"))
def test_backbones_publish_their_levels(case, channels):
    backbone = build("BACKBONES", case, in_channels=channels)
    pyramid = backbone(torch.randn(2, channels, *ODD_FRAME))
    expected = pyramid_of(2, backbone.levels, ODD_FRAME)
    assert [(name, x.shape) for name, x in pyramid.items()] == [(name, x.shape) for name, x in expected.items()]
    strides = [level.stride for level in backbone.levels.values()]
    assert {"c2", "c3"} <= set(backbone.levels) and strides == sorted(strides)
    sum(x.square().sum() for x in pyramid.values()).backward()
    assert all(p.grad is not None for p in backbone.parameters())


@pytest.mark.parametrize("case", cases("BACKBONES"))
def test_backbones_compute_as_far_as_asked_and_go_on_from_there(case):
    backbone, x = build("BACKBONES", case, in_channels=3).eval(), torch.randn(1, 3, *ODD_FRAME)
    with torch.no_grad():
        whole, names = backbone(x), list(backbone.levels)
        for count, name in enumerate(names, start=1):
            part = backbone(x, upto=name)
            assert list(part) == names[:count]
            again = backbone.extend(part, upto=name)
            assert list(again) == names[:count] and all(again[n] is part[n] for n in part)
            assert list(part) == names[:count]  # the pyramid that was given is left alone
            rest = backbone.extend(part)
            assert list(rest) == names and all(torch.equal(rest[n], whole[n]) for n in names)
            assert all(rest[n] is part[n] for n in part)
    with pytest.raises(ConfigError, match=f"has no level 'c9'; its levels: {', '.join(names)}"):
        backbone(x, upto="c9")
    with pytest.raises(InputError, match="the pyramid has none"):
        backbone.extend({})


BACKBONE = dict(type="ResNet", **CASES["BACKBONES"]["ResNet"][0])


@pytest.mark.parametrize("case", cases("ENCODERS", only=("KeyEncoder",)))
def test_key_encoders_publish_their_channels(case):
    encoder = build("ENCODERS", case, backbone=BACKBONE)
    features = encoder(torch.randn(2, 3, *FRAME))
    grid = tuple(s // encoder.stride for s in FRAME)
    assert features.key.shape == (2, encoder.key_channels, *grid)
    assert features.context.shape == (2, encoder.context_channels, *grid)
    assert features.base.shape == (2, encoder.base_channels, *grid)
    assert {name: x.shape for name, x in features.pyramid.items()} == {
        name: x.shape for name, x in pyramid_of(2, encoder.levels).items()}


@pytest.mark.parametrize("case", cases("ENCODERS", only=("ValueEncoder",)))
def test_value_encoders_publish_their_channels(case):
    encoder = build("ENCODERS", case, backbone=BACKBONE)
    grid = tuple(s // encoder.stride for s in FRAME)
    pairs = rows_of(torch.tensor([[True, False], [True, True]]))
    value = encoder(torch.randn(2, 3, *FRAME), torch.randn(2, 11, *grid), torch.rand(2, 2, *FRAME), pairs)
    assert value.shape == (3, encoder.out_channels, *grid)


def rows_of(exists):
    """Rows of a (B, O) table."""
    return Rows.of_table(exists, range(1, 1 + exists.shape[1]))


def memory_of(policy, frames=3, objects=2, training=False):
    """A memory to which random frames of 2x3 cells were offered, as a segmentor does."""
    draw = torch.Generator().manual_seed(1)
    head = registry.MATCHING_HEADS.build(dict(type="L2Matching"))
    memory = policy.new(training=training, similarity=head.similarity_of)
    for frame in range(frames):
        prompted = frame == 0
        if memory.wants(frame, prompted=prompted, last=False):
            memory.add(MemoryEntry(frame, {"key": torch.randn(1, 4, 6, generator=draw)},
                                   {"value": torch.randn(1, objects, 5, 6, generator=draw)},
                                   valid=torch.ones(1, objects, dtype=torch.bool), grid=(2, 3), prompted=prompted))
    return memory


OFFERED = dict(key_channels=4, value_channels=5, stride=16)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("memory", cases("MEMORIES"))
@pytest.mark.parametrize("case", cases("MATCHING_HEADS", only=READERS))
def test_matching_heads_read_weighted_means_of_values_from_any_memory(case, memory, training):
    head, policy = build("MATCHING_HEADS", case, **OFFERED).train(training), build("MEMORIES", memory)
    memory = memory_of(policy, frames=8, training=training)
    pairs, query = rows_of(torch.ones(1, 2, dtype=torch.bool)), torch.randn(1, 4, 2, 3)
    with torch.set_grad_enabled(training):
        out = head(query, memory, pairs, 8)
    assert out.shape == (2, head.out_channels or 5, 2, 3)
    values = torch.cat([e["value"] for e in memory], dim=-1)[0]
    assert (out.flatten(2) <= values.amax(dim=-1, keepdim=True) + 1e-5).all()
    assert (out.flatten(2) >= values.amin(dim=-1, keepdim=True) - 1e-5).all()
    for e in memory:
        e.object_tensors["value"] = torch.ones_like(e["value"])
    assert torch.allclose(head(query, memory, pairs, 8), torch.ones(2, 5, 2, 3), atol=1e-5)


@pytest.mark.parametrize("case", cases("MATCHING_HEADS", only=READERS))
def test_matching_heads_tell_memories_what_they_read(case):
    head, told = build("MATCHING_HEADS", case, **OFFERED).eval(), []
    memory = memory_of(FrameBank(every=1))
    memory.note_reading = lambda entries, mass, share: told.append((entries, mass(), share))
    with torch.no_grad():
        head(torch.randn(1, 4, 2, 3), memory, rows_of(torch.ones(1, 2, dtype=torch.bool)), 3)
    assert sum(share for _, _, share in told) == pytest.approx(1)
    assert all(entries == list(memory) and mass.shape == (1, 18) for entries, mass, _ in told)
    assert sum(float(mass.sum()) for _, mass, _ in told) == pytest.approx(6)  # one per query


@pytest.mark.parametrize("case", cases("ENCODERS", only=("PixelEmbedding",)))
def test_pixel_embeddings_publish_their_channels(case):
    encoder = build("ENCODERS", case, backbone={**BACKBONE, "output_stride": 8 if case[1]["neck"]["rates"] else 16})
    features = encoder(torch.randn(2, 3, *FRAME))
    grid = tuple(s // encoder.stride for s in FRAME)
    assert features.embedding.shape == (2, encoder.out_channels, *grid) and (features.embedding >= 0).all()
    assert features.pyramid[encoder.low_level].shape == (2, encoder.low_channels, *grid)
    assert encoder.deep(features) is features


@pytest.mark.parametrize("case", cases("MATCHING_HEADS", only=("GlobalLocalMatching",)))
def test_matching_of_slots_gives_one_where_a_slot_has_no_cell(case):
    head, grid = build("MATCHING_HEADS", case, channels=4), (6, 8)
    x, before = torch.rand(2, 4, *grid), torch.rand(2, 4, *grid)
    slots = torch.randint(-1, 2, (2, *grid))
    reference = (torch.rand(2, 4, 48), torch.randint(-1, 2, (2, 48)))
    matches = head(x, [reference, reference], before, slots, 3)
    assert matches.shape == (2, 3, head.out_channels, *grid) and torch.isfinite(matches).all()
    values = matches[:, :, : 1 + len(head.windows)]
    assert ((values >= 0) & (values <= 1)).all() and (values[:, :2] < 0.99).any()
    assert torch.allclose(values[:, 2], torch.ones(()))
    assert torch.equal(matches[:, 1, 1 + len(head.windows)], (slots == 1).float())


def buffer_of(head, grid, frames=(0, 2, 5)):
    """Frames in a buffer, as the head wants them, and the slot of each of their cells."""
    names = {"k0": 8, "v0": 8} if head.cache == "layers" else {"embedding": 8}
    entries = [MemoryEntry(frame, {name: torch.randn(2, c, grid[0] * grid[1]) for name, c in names.items()},
                           valid=torch.ones(2, 1, dtype=torch.bool), grid=grid) for frame in frames]
    return entries, [torch.randint(-1, 2, (2, grid[0] * grid[1])) for _ in entries]


@pytest.mark.parametrize("case", cases("MATCHING_HEADS", only=("SSTEncoder",)))
def test_encoders_of_buffers_publish_their_channels_and_say_what_they_keep(case):
    head, size = build("MATCHING_HEADS", case, channels=8).eval(), (6, 8)
    grid = (4, 5) if head.downsample == 2 else size
    entries, slots = buffer_of(head, grid)
    x, before = torch.randn(2, 8, *size), torch.randint(-1, 2, (2, *size))
    encoded = head(x, entries, slots, before, 7, 3)
    assert encoded.features.shape == x.shape and encoded.matches.shape == (2, 3, head.out_channels, *size)
    assert encoded.kept.keys() == entries[0].frame_tensors.keys()
    assert all(encoded.kept[name].shape == tensor.shape for name, tensor in entries[0].frame_tensors.items())
    assert torch.equal(encoded.matches[:, :, -1], (before[:, None] == torch.arange(3)[:, None, None]).float())
    per_layer = (head.out_channels - 1) // 2
    assert per_layer == 0 or (encoded.matches[:, 2, :per_layer] == 0).all()  # of slot 2 there is no cell
    assert per_layer == 0 or encoded.matches[:, 0, :per_layer].any()
    first = head(x, [], [], before, 0, 3)
    assert first.features.shape == x.shape and not first.matches[:, :, :-1].any()


@pytest.mark.parametrize("case", cases("ATTENTIONS"))
@pytest.mark.parametrize("size", [(3, 4, 5), (1, 4, 1), (2, 1, 5)])
def test_attentions_give_means_of_what_cells_see_and_count_it(case, size):
    attention = build("ATTENTIONS", case)
    q, k = torch.randn(2, 1, 8, *size)
    assert torch.allclose(attention(q, k, torch.ones(1, 4, *size), heads=2).out, torch.ones(()), atol=1e-5)
    eye = torch.eye(size[0] * size[1] * size[2]).view(1, -1, *size)
    values = torch.cat([eye, eye], dim=1)  # both heads: what the weights are of
    seen = attention(0.01 * q, k, values, heads=2).out[0] > 0
    assert int(seen.sum()) == 2 * attention.pairs(size)
    last = attention(0.01 * q[:, :, -1:], k, values, heads=2, query_frames=1, causal=True).out[0] > 0
    assert int(last.sum()) == 2 * attention.pairs(size, causal=True, query_frames=1)


@pytest.mark.parametrize("case", cases("DECODERS", only=("CollaborativeEnsembler",)))
def test_decoders_of_slots_give_two_logits_per_row_whatever_their_number(case):
    decoder = build("DECODERS", case, match_channels=5, map_channels=6, vector_channels=9, low_channels=3).eval()
    x = torch.cat([torch.randn(5, 6, 9, 13), decoder.prehead(torch.rand(5, 5, 9, 13))], dim=1)
    low, vector = torch.rand(2, 3, 9, 13), torch.rand(5, 9)
    table = torch.tensor([[True, True, False], [True, True, True]])
    with torch.no_grad():
        five = decoder(x, vector, low, rows_of(table))
        one = decoder(x[4:], vector[4:], low[1:], rows_of(torch.ones(1, 1, dtype=torch.bool)))
    assert five.shape == (5, 2, 9, 13) and torch.allclose(five[4:], one, atol=1e-4)


@pytest.mark.parametrize("case", cases("MATCHING_HEADS", only=("LongShortTermTransformer", "GatedPropagation")))
def test_propagating_heads_publish_their_channels_and_take_back_what_they_hand_out(case):
    head = build("MATCHING_HEADS", case, key_channels=16, value_channels=5, stride=16).eval()
    x, identity = torch.randn(3, 16, 2, 4), torch.randn(3, 16, 2, 4)
    output, tokens = head.reference(x, identity)
    again, drafts = head(x, [[pair] for pair in tokens], tokens)
    assert output.shape == again.shape == (3, head.out_channels, 2, 4)
    assert torch.allclose(output, again, atol=1e-5) and len(tokens) == len(head.blocks)
    for ours, theirs in zip(head.complete(drafts, identity), tokens, strict=True):
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("case", cases("ENCODERS", only=("ProjectedEncoder",)))
def test_projecting_encoders_publish_their_channels(case):
    encoder = build("ENCODERS", case, backbone=BACKBONE)
    pyramid, projected = encoder(torch.randn(2, 3, *FRAME))
    assert projected.shape == (2, encoder.out_channels, *(s // encoder.stride for s in FRAME))
    assert {name: x.shape for name, x in pyramid.items()} == {
        name: x.shape for name, x in pyramid_of(2, encoder.levels).items()}


@pytest.mark.parametrize("case", cases("DECODERS", only=("FPNDecoder",)))
def test_decoders_of_groups_share_what_belongs_to_the_frame(case):
    decoder = build("DECODERS", case, value_channels=5, context_channels=3, levels=LEVELS, outputs=4).eval()
    pyramid, context, read = pyramid_of(2), torch.randn(2, 3, 2, 3), torch.randn(3, 5, 2, 3)
    rows = rows_of(torch.tensor([[True, True], [False, True]]))
    with torch.no_grad():
        three = decoder.fine(decoder.coarse(read, context, pyramid, rows), pyramid, rows)
        last = rows_of(torch.tensor([[True]]))
        own = {name: x[1:] for name, x in pyramid.items()}
        one = decoder.fine(decoder.coarse(read[2:], context[1:], own, last), own, last)
    assert three.shape == (3, 4, *(s // decoder.stride for s in FRAME)) and torch.allclose(three[2:], one, atol=1e-5)


@pytest.mark.parametrize("case", cases("DECODERS", only=("MaskDecoder",)))
def test_decoders_give_one_map_per_object_whatever_their_number(case):
    from vosplug.models.encoders import FrameFeatures

    decoder = build("DECODERS", case, value_channels=5, context_channels=3, levels=LEVELS, stride=16).eval()
    features = FrameFeatures(frame=torch.randn(1, 3, *FRAME), pyramid=pyramid_of(1), context=torch.randn(1, 3, 2, 3))
    readout, previous = torch.randn(3, 5, 2, 3), torch.zeros(1, 3, *FRAME)
    with torch.no_grad():
        logits = []
        for count in (3, 1):
            rows = rows_of(torch.ones(1, count, dtype=torch.bool))
            coarse = decoder.coarse(readout[:count], features, rows, previous=previous[:, :count])
            logits.append(decoder.fine(coarse, features, rows, FRAME))
    three, one = logits
    assert three.shape == (3, 1, *FRAME) and torch.allclose(three[0], one[0], atol=1e-5)


@pytest.mark.parametrize("case", cases("LOSSES", only=MASK_LOSSES))
def test_losses_fall_as_masks_get_better_and_ignore_void(case):
    loss = build("LOSSES", case)
    assert isinstance(loss.name, str) and isinstance(loss.weight, float)
    if hasattr(loss, "set_progress"):
        loss.set_progress(10, 100)
    labels = torch.zeros(1, 6, 6, dtype=torch.long)
    labels[:, 2:5, 1:4], labels[:, 0] = 1, 255
    truth = torch.stack([labels != 1, labels == 1], dim=1).float() * 2 - 1
    values = [float(loss(record_of(truth * scale, labels))) for scale in (-4, -1, 0, 1, 4, 30)]
    assert values == sorted(values, reverse=True) and values[-1] == pytest.approx(0, abs=1e-3)
    void = truth.clone()
    void[:, :, 0] *= -50
    assert float(loss(record_of(void, labels))) == pytest.approx(float(loss(record_of(truth, labels))), abs=1e-6)


def record_of(logits, labels, notes=()):
    """A clip of one frame that was predicted."""
    known = torch.ones(len(logits), logits.shape[1] - 1, dtype=torch.bool)
    return ClipRecord([FrameRecord(1, logits, labels, known, notes=list(notes))])


def work_of(computed, layers=3, sites=100):
    """A clip on which layers computed a share of their sites."""
    share = torch.tensor(float(computed), requires_grad=True)
    work = [Work(f"layer{i}", 10 + i, 0, sites, chosen=share * sites, decided=sites) for i in range(layers)]
    return record_of(torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2, dtype=torch.long), work)


@pytest.mark.parametrize("case", cases("LOSSES", only=("ReferenceLoss",)))
def test_losses_on_references_read_their_predictions_and_fade(case):
    loss = build("LOSSES", case)
    labels = torch.zeros(2, 6, 6, dtype=torch.long)
    labels[:, 2:5, 1:4] = 1
    truth = torch.stack([labels != 1, labels == 1], dim=1).float() * 2 - 1
    values = []
    for scale in (-4, 0, 4, 30):
        note = ReferencePrediction(truth * scale, clips=torch.tensor([False, True]))
        values.append(float(loss(record_of(-truth, labels, [note]))))
    assert values == sorted(values, reverse=True) and values[-1] == pytest.approx(0, abs=1e-3)
    assert float(loss(record_of(truth, labels))) == 0 and loss.reads_references
    note = ReferencePrediction(-truth, clips=torch.tensor([True, True]))
    whole = float(loss(record_of(truth, labels, [note])))
    loss.set_progress(25, 100)
    assert float(loss(record_of(truth, labels, [note]))) == pytest.approx(0.75 * whole)
    loss.set_progress(100, 100)
    assert float(loss(record_of(truth, labels, [note]))) == 0 and not loss.reads_references


@pytest.mark.parametrize("case", cases("LOSSES", only=("SparsityLoss", "ComputationLoss")))
def test_losses_on_work_rise_with_the_work_above_the_target(case):
    loss = build("LOSSES", case)
    assert isinstance(loss.name, str) and isinstance(loss.weight, float)
    values = [float(loss(work_of(share)).detach()) for share in (0.55, 0.7, 0.9, 1.0)]
    assert values == sorted(values) and values[0] < values[-1]
    assert float(loss(ClipRecord())) == 0
    assert float(loss.numbers(work_of(0.5))["density"]) == pytest.approx(0.5)


@pytest.mark.parametrize("geometry", [dict(kernel_size=3, padding=1), dict(kernel_size=1),
                                      dict(kernel_size=3, stride=2, padding=1, bias=False, groups=2)])
@pytest.mark.parametrize("case", cases("SPARSE_CONVS"))
def test_sparse_convolutions_are_drop_ins_outside_of_a_frame_loop(case, geometry):
    conv = build("SPARSE_CONVS", case, in_channels=4, out_channels=6, **geometry)
    dense = torch.nn.Conv2d(4, 6, **geometry)
    names = {name for name, _ in conv.named_parameters() if not name.startswith("gate.")}
    assert names == {name for name, _ in dense.named_parameters()}
    dense.load_state_dict({name: value for name, value in conv.state_dict().items() if name in names})
    x = torch.randn(2, 4, 9, 7)
    assert torch.equal(conv(x), dense(x))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("case", cases("MEMORIES"))
def test_memories_answer_the_protocol(case, training):
    policy = build("MEMORIES", case)
    assert isinstance(policy, Memory)
    memory, other = memory_of(policy, frames=8, training=training), memory_of(policy, frames=0, training=training)
    assert isinstance(memory, MemoryState) and len(other) == 0 and other.tokens == 0 and other.latest is None
    assert 0 < len(memory) == len(list(memory)) and memory.tokens == sum(e.tokens for e in memory) == 6 * len(memory)
    assert memory.wants(8, prompted=True, last=False) and not memory.wants(8, prompted=True, last=True)
    assert isinstance(memory.is_kept(8, True), bool) and memory.is_kept(8, False) is memory.is_kept(8, False)
    memory.note_reading(list(memory), lambda: torch.ones(1, memory.tokens), 1.0)
    newest = MemoryEntry(8, {"key": torch.randn(1, 4, 6)}, {"value": torch.randn(1, 2, 5, 6)},
                         valid=torch.ones(1, 2, dtype=torch.bool), prompted=True)
    memory.add(newest)
    assert memory.latest.frame == 8 and torch.equal(memory.latest["value"], newest["value"])
    memory.keep_objects(torch.tensor([1]))
    assert all(e["value"].shape[1] == 1 for e in (*memory, memory.latest))
    memory.keep_objects(torch.tensor([], dtype=torch.long))
    assert memory.tokens == len(memory) == 0 and memory.latest is None


@pytest.mark.parametrize("case", cases("MEMORIES"))
def test_memories_stay_within_their_budget(case):
    sizes = [len(list(memory_of(build("MEMORIES", case), frames=n))) for n in (12, 24)]
    budget = case[1].get("max_frames")
    assert max(sizes) <= budget if budget else sizes == sorted(sizes)


@pytest.mark.parametrize("case", cases("PREPROCESSORS"))
@pytest.mark.parametrize("size", [(33, 47), (33, 49), (48, 32), (9, 70)])
@pytest.mark.parametrize("limits", [{}, {"max_short_side": 24}, {"max_long_side": 32, "scale": 1.5}], ids=str)
def test_preprocessors_lead_to_the_network_and_back(case, size, limits):
    preprocessor = build("PREPROCESSORS", case)
    geometry = preprocessor.geometry(size, **limits)
    assert geometry.native == size
    x, _ = preprocessor.frames(torch.full((1, 3, *size), 128, dtype=torch.uint8), geometry)
    masks = torch.zeros(1, 2, *size)
    masks[:, 0, 1:-1, 4:-4] = 1
    seen = preprocessor.masks(masks, geometry)
    assert x.shape[-2:] == seen.shape[-2:] == geometry.network and set(seen.unique().tolist()) == {0, 1}
    restored = preprocessor.restore(seen, geometry)
    assert restored.shape == masks.shape and ((restored > 0.5) == (masks > 0.5)).float().mean() > 0.85
    if geometry.size == size:
        assert torch.equal(restored, masks)
    for stride in (2, 4):  # the coarser size that a method may work at
        coarse = torch.ones(1, 2, *(-(-side // stride) for side in geometry.network))
        coarse = preprocessor.restore(coarse, geometry)
        assert coarse.shape == masks.shape and torch.allclose(coarse, torch.ones(()))


@pytest.mark.parametrize("case", cases("PREPROCESSORS"))
@pytest.mark.parametrize("options", [{"max_short_side": 96}, {"max_long_side": 128}, {"scale": 0.5}], ids=str)
@pytest.mark.parametrize("native, wanted", [((192, 256), (96, 128)), ((256, 192), (128, 96))])
def test_preprocessors_keep_limits_and_scales(case, options, native, wanted):
    size = build("PREPROCESSORS", case).geometry(native, **options).size
    assert max(abs(side - other) for side, other in zip(size, wanted, strict=True)) <= 1


@pytest.mark.parametrize("part", [name for name, test in LAYERS.items() if test == "identities"])
def test_identity_banks_embed_at_the_stride_of_the_keys(part):
    bank = registry.LAYERS.build(dict(type=part), max_objects=3, channels=6, stride=8)
    labels = torch.randint(0, 4, (2, 25, 33))
    assert bank(bank.one_hot(labels)).shape == (2, 6, 4, 5) and (bank.one_hot(labels).argmax(dim=1) == labels).all()


@pytest.mark.parametrize("part", [name for name, test in LAYERS.items() if test == "spacetime"])
def test_spacetime_positions_have_any_size_and_tell_cells_apart(part):
    torch.manual_seed(0)
    position = registry.LAYERS.build(dict(type=part), channels=16)
    for frames, size in (([0, 3], (5, 7)), ([150, 299], (118, 3))):
        places = position(frames, size, torch.zeros((), dtype=torch.float64))
        assert places.shape == (2, *size, 16) and places.dtype == torch.float64 and torch.isfinite(places).all()
        apart = len(places.flatten(0, 2).unique(dim=0))
        assert apart == (1 if part == "NoPosition" else 2 * size[0] * size[1])


@pytest.mark.parametrize("part", [name for name, test in LAYERS.items() if test == "token norm"])
def test_token_norms_know_one_frame(part):
    norm = registry.LAYERS.build(dict(type=part), channels=6)
    x = torch.randn(2, 3, 4, 5, 6) * 7
    assert torch.allclose(norm(x)[:, 1], norm(x[:, 1]), atol=1e-6) and norm(x).abs().mean() < 1


@pytest.mark.parametrize("part", [name for name, test in LAYERS.items() if test == "positions"])
def test_positions_tell_cells_apart(part):
    places = registry.LAYERS.build(dict(type=part), channels=16)((5, 7), torch.zeros(()))
    assert places.shape == (35, 16) and len(places.unique(dim=0)) == 35


@pytest.mark.parametrize("part", [name for name, test in LAYERS.items() if test == "drop"])
def test_drops_rest_outside_training(part):
    torch.manual_seed(0)
    layer, x = registry.LAYERS.build(dict(type=part, rate=0.5)), torch.ones(64, 3)
    assert torch.equal(layer.eval()(x), x) and 10 < int((layer.train()(x) == 0).all(dim=1).sum()) < 54


@pytest.mark.parametrize("part", [name for name, test in LAYERS.items() if test == "fusion"])
def test_fusions_publish_stride_and_channels(part):
    fusion = registry.LAYERS.build(dict(type=part), in_levels=LEVELS)
    out = fusion(pyramid_of(2))
    assert out.shape == (2, fusion.out_channels, FRAME[0] // fusion.stride, FRAME[1] // fusion.stride)


@pytest.mark.parametrize("part", [name for name, test in LAYERS.items() if test == "fuser"])
def test_fusers_publish_channels_and_use_both_inputs(part):
    torch.manual_seed(0)
    fuser = registry.LAYERS.build(dict(type=part, channels=32), value_channels=3, base_channels=4)
    value, base = torch.randn(2, 3, 4, 4, requires_grad=True), torch.randn(2, 4, 4, 4, requires_grad=True)
    out = fuser(value, base)
    assert out.shape == (2, fuser.out_channels, 4, 4)
    out.square().sum().backward()
    assert value.grad.abs().sum() > 0 and base.grad.abs().sum() > 0


@pytest.mark.parametrize("part", [name for name, test in LAYERS.items() if test == "prior"])
def test_priors_prefer_what_is_near(part):
    prior = registry.LAYERS.build(dict(type=part))
    rows, columns = prior(list(memory_of(FrameBank(every=1))), (2, 3), 3, CPU)
    bias = (rows @ columns).view(6, 3, 6)
    assert torch.equal(bias.argmax(dim=-1), torch.arange(6)[:, None].expand(6, 3))


@pytest.mark.parametrize("part", [name for name, test in LAYERS.items() if test == "update"])
def test_updates_keep_the_shape_and_the_bounds_of_the_state(part):
    torch.manual_seed(0)
    many = part == "MultiScaleUpdate"
    update = registry.LAYERS.build(dict(type=part), in_channels=[5, 4] if many else 5, hidden_channels=3)
    coarse, hidden = torch.randn(2, 5, 2, 3), torch.rand(2, 3, 2, 3) * 2 - 1
    x = [coarse, torch.randn(2, 4, 4, 6), torch.randn(2, 1, 4, 6)] if many else coarse
    out = update(x, hidden)
    assert out.shape == hidden.shape and (out.abs() <= 1).all()
    out.square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in update.parameters())
