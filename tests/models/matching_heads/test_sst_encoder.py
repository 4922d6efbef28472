"""SST's encoder: what is computed for which frame, positions, scores, and what is kept."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from vosplug.models.layers import LearnedPosition, NoPosition, SinusoidalPosition
from vosplug.models.matching_heads import SSTEncoder
from vosplug.models.memories import MemoryEntry
from vosplug.utils.errors import ConfigError

LOCAL, STRIDED = dict(type="LocalAttention", h=3), dict(type="StridedAttention", h=2)


def build(**options):
    torch.manual_seed(0)
    return SSTEncoder(**{"attentions": [LOCAL, STRIDED], "channels": 12, "heads": 2, **options}).double().eval()


def video(frames=4, size=(7, 9), count=3):
    """Embeddings (T, 1, 12, h, w) and labels of the buffer's size."""
    torch.manual_seed(1)
    return torch.rand(frames, 1, 12, *size, dtype=torch.float64), torch.randint(0, count, (frames, 1, 20))


def run(head, x, labels, count=3, buffer=3):
    """Frames one after the other through a buffer: what is said of the last one."""
    entries, slots = [], []
    for number, (embedding, own) in enumerate(zip(x, labels, strict=True)):
        before = torch.zeros(1, *embedding.shape[-2:], dtype=torch.long)
        encoded = head(embedding, entries, slots, before, number, count)
        entries.append(MemoryEntry(number, encoded.kept, valid=torch.ones(1, 1, dtype=torch.bool), grid=(4, 5)))
        slots.append(own)
        entries, slots = entries[-buffer:], slots[-buffer:]
    return encoded


def test_keys_and_values_that_are_kept_give_what_computing_anew_gives():
    x, labels = video(frames=4)
    anew = run(build(causal=True), x, labels)
    kept = run(build(causal=True, cache="layers"), x, labels)
    assert torch.allclose(anew.features, kept.features, atol=1e-10)
    assert torch.allclose(anew.matches, kept.matches, atol=1e-10) and anew.matches[:, :, :4].any()
    assert set(kept.kept) == {"k0", "v0", "k1", "v1"} and set(anew.kept) == {"embedding"}
    longer, labels = video(frames=6)
    far = [run(build(causal=True, cache=cache), longer, labels) for cache in ("recompute", "layers")]
    assert not torch.allclose(far[0].features, far[1].features, atol=1e-6)  # what is kept has seen older frames


@pytest.mark.parametrize("cache", ["recompute", "layers"])
def test_frames_that_are_not_predicted_are_kept_alike(cache):
    x, labels = video(frames=2)
    head = build(causal=True, cache=cache)
    first = head.keep(x[0], [], 0)
    entry = MemoryEntry(0, first, valid=torch.ones(1, 1, dtype=torch.bool), grid=(4, 5))
    encoded = head(x[1], [entry], [labels[0]], torch.zeros(1, 7, 9, dtype=torch.long), 1, 3)
    second = head.keep(x[1], [entry], 1)
    assert second.keys() == encoded.kept.keys()
    assert all(torch.allclose(second[name], encoded.kept[name], atol=1e-12) for name in second)


def macs(head, frames):
    """Multiply-accumulates of one frame behind ``frames`` others: of attention, and of everything else."""
    names = ("k0", "v0", "k1", "v1") if head.cache == "layers" else ("embedding",)
    entries = [MemoryEntry(t, {name: torch.zeros(1, 12, 120) for name in names}, valid=torch.ones(1, 1).bool(),
                           grid=(10, 12)) for t in range(frames)]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        head.float()(torch.zeros(1, 12, 18, 22), entries, [torch.zeros(1, 120).long()] * frames,
                     torch.zeros(1, 18, 22).long(), frames, 2)
    counts = {str(op): flops // 2 for op, flops in counter.get_flop_counts()["Global"].items()}
    attention = sum(flops for op, flops in counts.items() if "sparse_attention" in op)
    return attention, sum(counts.values()) - attention


def test_with_what_is_kept_a_frame_costs_one_frame_of_queries():
    kept, anew = build(causal=True, cache="layers"), build(causal=True)
    (few, projections), (many, same) = macs(kept, 1), macs(kept, 8)
    assert 4.4 < many / few <= 4.6 and projections == same  # nine frames against two
    pairs = sum(layer.attention.pairs((9, 10, 12), causal=True, query_frames=1) for layer in kept.layers)
    assert many == 2 * 12 * pairs
    assert macs(anew, 8)[1] > 4 * same and macs(anew, 8)[0] > 2 * many


def test_earlier_layers_run_over_all_frames_and_the_last_one_over_the_current():
    head = build(attentions=[LOCAL] * 3)
    attention, _ = macs(head, 3)
    pairs = head.layers[0].attention.pairs
    assert attention == 2 * 12 * (2 * pairs((4, 10, 12)) + pairs((4, 10, 12), query_frames=1))


@pytest.mark.parametrize("position, told", [(None, True), (dict(type="SinusoidalPosition", axes=("y", "x")), False),
                                            (dict(type="NoPosition"), False), (dict(type="LearnedPosition"), True)])
def test_the_order_of_frames_counts_if_positions_tell_the_time(position, told):
    """Two frames of the buffer change places, labels and all; not causal."""
    x, labels = video()
    swapped = [1, 0, 2, 3]
    results = [run(build(position=position), *pair)
               for pair in ((x, labels), (x[swapped], labels[swapped]))]
    same = all(torch.allclose(a, b, atol=1e-10) for a, b in ((results[0].features, results[1].features),
                                                            (results[0].matches, results[1].matches)))
    assert same != told


@pytest.mark.parametrize("score, none, bounds", [("dot", 0, (0, 1e9)), ("softmax", 0, (0, 1)), ("distance", 1, (0, 1)),
                                                 ("cosine", -1, (-1, 1))])
@pytest.mark.parametrize("heads_kept", ["max", "all"])
def test_scores_keep_their_bounds_and_say_where_there_is_nothing(score, none, bounds, heads_kept):
    x, labels = video(count=2)
    head = build(score=score, heads_kept=heads_kept)
    matches = run(head, x, labels).matches
    per = 2 if heads_kept == "all" else 1
    assert matches.shape[2] == head.out_channels == 4 * per + 1
    own, others = matches[:, :, : 2 * per], matches[:, :, 2 * per : 4 * per]
    assert (own >= bounds[0] - 1e-9).all() and (own <= bounds[1] + 1e-9).all()
    assert torch.allclose(own[:, 2], torch.tensor(float(none), dtype=own.dtype))  # no cell is of slot 2
    best = torch.minimum if score == "distance" else torch.maximum
    assert torch.allclose(others[:, 2], best(own[:, 0], own[:, 1]))
    if heads_kept == "all":
        reduce = torch.amin if score == "distance" else torch.amax
        small = run(build(score=score, heads_kept="all", downsample=1), x[:, :, :, :4, :5], labels).matches
        joined = run(build(score=score, downsample=1), x[:, :, :, :4, :5], labels).matches
        assert torch.allclose(reduce(small[:, :, :2], dim=2), joined[:, :, 0])


def test_affinity_has_gradients_and_can_be_left_out():
    x, labels = video()
    head = build()
    run(head, x, labels).matches[:, :, :2].sum().backward()
    assert head.layers[0].query.weight.grad.any() and head.layers[1].key.weight.grad.any()
    without = build(affinity=False)
    assert without.out_channels == 1 and not hasattr(without.layers[0].score, "clamp")
    assert run(without, x, labels).matches.shape[2] == 1


def test_heads_are_scaled_on_request():
    x, labels = video()
    plain, scaled = (run(build(scaled=flag, attentions=[LOCAL]), x, labels) for flag in (False, True))
    assert torch.allclose(plain.matches[:, :, 0], scaled.matches[:, :, 0] * 6 ** 0.5)
    assert not torch.allclose(plain.features, scaled.features)


@pytest.mark.parametrize("frame", [0, 299, 5000])
def test_sinusoids_follow_their_formula(frame):
    places = SinusoidalPosition(16)([frame], (3, 4), torch.zeros((), dtype=torch.float64))[0]
    widths = {"t": 6, "y": 6, "x": 4}
    for (y, x), row in ((p, places[p]) for p in ((0, 0), (2, 3), (1, 0))):
        start = 0
        for axis, width in widths.items():
            for i in range(width // 2):
                place = {"t": frame, "y": y, "x": x}[axis]
                angle = torch.tensor(place / 10_000 ** (2 * i / width), dtype=torch.float64)
                assert torch.allclose(row[start + 2 * i : start + 2 * i + 2], torch.stack([angle.sin(), angle.cos()]))
            start += width
    small = SinusoidalPosition(4, axes=("t",), base=100)([frame], (1, 1), torch.zeros(()))
    want = [torch.tensor(frame / base).sin() for base in (1.0, 10.0)]
    assert torch.allclose(small[0, 0, 0, ::2], torch.stack(want), atol=1e-3)


def test_no_position_is_exactly_zero_and_learnt_ones_stretch_and_hold():
    assert not NoPosition(6)([3, 900], (2, 3), torch.ones(())).any()
    torch.manual_seed(0)
    learnt = LearnedPosition(4, frames=10, size=(5, 6))
    table = learnt.tables
    twice = learnt([0, 9, 40], (9, 11), torch.zeros(()))
    want = table["t"][[0, 9, 9]][:, None, None] + table["y"][[0, 4]][:, None] + table["x"][[0, 5]]
    assert torch.allclose(twice[:, ::8, ::10], want, atol=1e-6)
    between = table["t"][0] + (table["y"][0] + table["y"][1]) / 2 + table["x"][0]
    assert torch.allclose(twice[0, 1, 0], between, atol=1e-6)


@pytest.mark.parametrize("options, text", [
    (dict(attentions=[]), "attentions is empty"), (dict(heads=5), "heads must divide the 12 channels"),
    (dict(downsample=4), "downsample must be 1 or 2"),
    (dict(score="dots"), "score must be one of .*Did you mean 'dot'"),
    (dict(cache="layers"), "cache='layers' needs causal=True"), (dict(cache="layer"), "Did you mean 'layers'"),
    (dict(heads_kept="some"), "heads_kept must be one of max, all"),
    (dict(position=dict(type="SinusoidalPosition", axes=("t", "z"))), "axes must be some of t, y, x, got"),
    (dict(position=dict(type="SinusoidalPosition", axes=())), "axes must be some of"),
    (dict(position=dict(type="SinusoidalPosition", base=1)), "base must be above 1"),
    (dict(position=dict(type="LearnedPosition", frames=0)), "at least one frame, row and column"),
    (dict(position=dict(type="SinePosition")), "unknown layer type 'SinePosition'"),
    (dict(channels=4, heads=1), "an even number of channels, at least 6 for 3 axes"),
    (dict(attentions=[dict(type="MixedHeadsAttention", parts=[LOCAL, STRIDED, LOCAL])]), "do not divide 2 heads")])
def test_wrong_options_are_named(options, text):
    with pytest.raises(ConfigError, match=text):
        build(**options)
