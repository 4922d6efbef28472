"""EfficientVIS as a whole: clips, state, losses, linking."""

import copy
import pickle

import pytest
import torch

from tests.models.tracklets.helpers import moving_squares, tiny_config, tiny_model
from vosplug.models.losses.tracklet_matching import TrackletTargets
from vosplug.registry import VIS_SEGMENTORS
from vosplug.utils.errors import ConfigError, DataError, InputError

VARIANTS = {
    "paper": {}, "spatial": dict(attention=dict(type="SpatialAttention", heads=4)),
    "temporal": dict(attention=dict(type="TemporalAttention", heads=4)),
    "joint": dict(attention=dict(type="JointAttention", heads=4)),
    "still": dict(dynamic_conv=dict(type="StillImageDynamicConv", hidden=8)),
    "shared": dict(queries=dict(time_shared=True)), "no-correspondence": dict(correspondence=False),
}


def batch(model, pairs: int = 2, videos: int = 2):
    """Preprocessed pairs of clips of ``videos`` videos."""
    items = [[moving_squares(start=p * 3 + v, gone=1 if p else None) for p in range(pairs)] for v in range(videos)]
    data = dict(inputs=[[clip for clip, _ in item] for item in items],
                data_samples=[[sample for _, sample in item] for item in items])
    return model.data_preprocessor(data)


def clips(model, count: int, length: int = 3):
    """Normalised clips (1, T, 3, H, W) that follow each other."""
    return [model.data_preprocessor.frames(moving_squares(length, start=length * k)[0])[0][None] for k in range(count)]


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_trains_all_its_weights(variant):
    model = tiny_model(**copy.deepcopy(VARIANTS[variant])).train()
    losses = model.loss(**batch(model))
    names = {"loss_cls", "loss_l1", "loss_giou", "loss_dice", "loss_ce"}
    assert set(losses) == names | {"box_iou"} and all(torch.isfinite(v) for v in losses.values())
    assert all(losses[name] > 0 for name in names)
    sum(losses[name] for name in names).backward()
    still = {name for name, p in model.named_parameters() if p.grad is None}
    assert not still


def test_proposals_pass_on_without_a_gradient_and_queries_with_one():
    model = tiny_model().train()
    clip = clips(model, 1)[0]
    outputs = model.interact(model.encode(clip), model.initial_queries(1), torch.tensor([[48, 64]]), clip.shape[1])
    first, second = outputs[:2]
    by_boxes, by_queries = torch.autograd.grad(second.boxes.sum() + second.logits.sum(), (first.boxes, first.queries),
                                               allow_unused=True)
    assert by_boxes is None
    assert by_queries.abs().sum() > 0


def test_the_loss_falls_and_tracks_fit():
    model = tiny_model(correspondence=True).train()
    data = batch(model, videos=1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    first = None
    for _ in range(60):
        losses = model.loss(**data)
        total = sum(value for name, value in losses.items() if name.startswith("loss"))
        first = first if first is not None else float(total.detach())
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    assert float(total.detach()) < 0.5 * first
    assert float(losses["box_iou"]) > 0.5


@pytest.mark.parametrize("checkpointing, chunk", [(True, 2), (False, None), (False, 1)])
def test_chunks_and_checkpoints_change_neither_losses_nor_gradients(checkpointing, chunk):
    plain, other = tiny_model().train(), tiny_model(checkpointing=checkpointing, frame_chunk=chunk).train()
    other.load_state_dict(plain.state_dict())
    gradients = []
    for model in (plain, other):
        losses = model.loss(**batch(model, videos=1))
        sum(v for k, v in losses.items() if k.startswith("loss")).backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    for a, b in zip(*gradients, strict=True):
        assert torch.allclose(a, b, atol=1e-4, rtol=1e-3)


def test_queries_are_carried_and_two_videos_do_not_mix():
    model = tiny_model()
    a, b = clips(model, 2), [c.flip(-1) for c in clips(model, 2)]
    with torch.no_grad():
        alone = model.init_state()
        expected = [model.step(alone, c) for c in a]
        one, two = model.init_state(), model.init_state()
        found = []
        for x, y in zip(a, b, strict=True):
            found.append(model.step(one, x))
            one = pickle.loads(pickle.dumps(one))
            model.step(two, y)
        fresh = model.step(model.init_state(), a[1])
    for x, y in zip(expected, found, strict=True):
        assert torch.equal(x.scores, y.scores) and torch.equal(x.masks, y.masks) and x.ids == y.ids
    assert not torch.allclose(expected[1].scores, fresh.scores)
    assert expected[0].ids == expected[1].ids and alone.frame_index == 6


def test_the_last_clip_may_be_shorter_and_sizes_of_frames_must_not_change():
    model = tiny_model()
    state = model.init_state()
    with torch.no_grad():
        model.step(state, clips(model, 1)[0])
        short = model.step(state, clips(model, 1, length=1)[0])
    assert short.scores.shape == (1, 1, 5, 3)
    with pytest.raises(InputError, match="resize it, or start a new video"):
        model.step(state, torch.zeros(1, 3, 3, 96, 96))
    with pytest.raises(InputError, match="a clip must be"):
        model.step(state, torch.zeros(3, 3, 64, 64))


def test_queries_that_stay_background_start_anew_after_the_stated_number_of_clips():
    model = tiny_model(linker=dict(type="QueryLinking", reinit_after=2, background_score=2.0))  # all is background
    kept = tiny_model(linker=dict(type="QueryLinking", reinit_after=None, background_score=2.0))
    state, other = model.init_state(), kept.init_state()
    with torch.no_grad():
        ids = [model.step(state, c).ids[0].ids for c in clips(model, 3)]
        same = [kept.step(other, c).ids[0].ids for c in clips(model, 3)]
        third = model.step(model.init_state(), clips(model, 3)[2]).scores
        again = model.init_state()
        scores = [model.step(again, c).scores for c in clips(model, 3)]
    assert ids == [(1, 2, 3, 4, 5), (1, 2, 3, 4, 5), (6, 7, 8, 9, 10)]
    assert same == [(1, 2, 3, 4, 5)] * 3
    assert torch.allclose(scores[2], third, atol=1e-6)  # q* again


def test_hand_crafted_linking_joins_equal_tracklets_and_only_those():
    model = tiny_model(linker=dict(type="HandCraftedLinking", min_score=0.0, min_affinity=1.5), correspondence=False)
    clip = clips(model, 1)[0][:, :1]
    state = model.init_state()
    with torch.no_grad():
        first, second = model.step(state, clip), model.step(state, clip)
    assert torch.equal(first.scores, second.scores)  # each clip starts from q*
    boxes = first.boxes[0, 0]
    apart = [(boxes - box).abs().amax(1).lt(1e-3).sum() == 1 for box in boxes]
    assert any(apart)
    assert set(second.ids[0].ids) == set(first.ids[0].ids)
    strict = tiny_model(linker=dict(type="HandCraftedLinking", min_score=0.0, min_affinity=9.0), correspondence=False)
    state = strict.init_state()
    with torch.no_grad():
        first, second = strict.step(state, clip), strict.step(state, clip)
    assert not set(second.ids[0].ids) & set(first.ids[0].ids)


def test_correspondence_needs_a_linker_that_carries_queries():
    model = tiny_model(linker=dict(type="HandCraftedLinking")).train()
    with pytest.raises(ConfigError, match="train with QueryLinking"):
        model.loss(**batch(model))


def test_the_second_clip_keeps_the_assignment_and_new_instances_get_free_queries():
    model = tiny_model().train()
    clip, sample = moving_squares()
    hidden = copy.deepcopy(sample)  # the first clip shows one of the two
    hidden.masks[1], hidden.present[1], hidden.boxes[1] = False, False, 0.0
    seen = []
    inner = model.criterion.match

    def spy(*args):
        seen.append(inner(*args))
        return seen[-1]

    model.criterion.match = spy
    model.loss(**model.data_preprocessor(dict(inputs=[[clip, clip]], data_samples=[[hidden, sample]])))
    first, second = seen[len(model.interactions) - 1][0], seen[len(model.interactions):]
    assert first[1].tolist() == [0]
    for (tracklets, instances), in second:
        assert instances.tolist() == [0, 1] and tracklets[0] == first[0][0] and tracklets[1] != tracklets[0]


def test_too_many_instances_and_unknown_classes_are_named():
    model = tiny_model().train()
    few = VIS_SEGMENTORS.build({**tiny_config(), "queries": dict(type="TrackletQueries", num_queries=1)}).train()
    with pytest.raises(DataError, match="raise model.queries.num_queries"):
        few.loss(**batch(few))
    data = batch(model)
    for samples in data["data_samples"]:
        samples[0].categories[:] = 7
    with pytest.raises(ConfigError, match="model.num_classes"):
        model.loss(**data)


def test_videos_of_mixed_sizes_train_in_one_batch():
    model = tiny_model().train()
    small, large = moving_squares(size=(48, 64)), moving_squares(size=(70, 90))
    data = model.data_preprocessor(dict(inputs=[small[0], large[0]], data_samples=[small[1], large[1]]))
    assert data["inputs"][0].shape == (2, 3, 3, 96, 96)
    assert all(torch.isfinite(v) for v in model.loss(**data).values())


def test_targets_that_are_met_cost_nothing_but_their_distance():
    from vosplug.models.losses.tracklet_loss import TrackletLoss
    from vosplug.models.tracklets import InteractionOutput

    _, sample = moving_squares(gone=1)
    target = TrackletTargets.of(sample, torch.device("cpu"))
    logits, boxes = torch.full((1, 3, 4, 3), -9.0), torch.zeros(1, 3, 4, 4)
    masks = torch.full((1, 3, 4, 3, 28, 28), 12.0)
    boxes[..., 2:] = 64
    for slot, instance in ((2, 0), (0, 1)):  # squares fill their boxes
        boxes[0, :, slot] = target.boxes[instance]
        logits[0, :, slot, target.labels[instance]] = torch.where(target.present[instance], 9.0, -9.0)
    boxes[0, 1, 0] = torch.tensor([0, 0, 10.0, 10.0])
    masks[0, 1, 0] = -12.0  # absent there: empty
    output = InteractionOutput(logits=logits, boxes=boxes, masks=masks, queries=torch.zeros(1, 3, 4, 8))
    criterion = TrackletLoss()
    matches = criterion.match(output, [target])
    assert dict(zip(matches[0][1].tolist(), matches[0][0].tolist(), strict=True)) == {0: 2, 1: 0}
    perfect = {name: float(value) for name, value in criterion(output, [target], matches).items()}
    assert max(perfect.values()) < 1e-2, perfect
    masks[0, 1, 0] = 12.0
    assert float(criterion(output, [target], matches)["ce"]) > 1.0  # a mask where the instance is absent
    logits[0, 1, 0, 2] = 9.0
    assert float(criterion(output, [target], matches)["cls"]) > 0.5
