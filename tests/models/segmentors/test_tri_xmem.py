"""XMem with sparse convolutions. What every segmentor must do stands in tests/contracts."""

import torch

from tests.contracts.helpers import CONFIGS, TINY_XMEM, boxes, build_tiny, random_frames, sparse, track, training_batch
from tests.models.segmentors.test_spvos import set_gates, work_per_frame
from vosplug.evaluation.complexity import measure_frames
from vosplug.models.backbones.sparse_convs import SparseConv, load_dense_weights
from vosplug.models.tasks.clips import clip_prompts, first_frames
from vosplug.registry import SEGMENTORS
from vosplug.structures import Work
from vosplug.utils.configs import load_config

BASE = "_base_/xmem_r50_model.py"
SIZE = (40, 56)


def tiny(policy="Mixed", **options):
    return build_tiny(BASE, {**TINY_XMEM, **sparse("TripleSparseConv", policy), **options})


def test_full_size_model_has_the_published_size():
    """SpVOS, Table VI: 238.91 MiB without buffers."""
    with torch.device("meta"):
        model = SEGMENTORS.build(load_config(CONFIGS / "tri_xmem_r50.py").model)
    assert round(sum(p.numel() for p in model.parameters()) * 4 / 2**20, 2) == 238.91
    names = {name for name, module in model.named_modules() if isinstance(module, SparseConv)}
    assert sum(name.startswith("key_encoder.") for name in names) == 39
    assert {name for name in names if name.startswith("normal_update.")} == {
        *(f"normal_update.projections.{i}" for i in range(3)), "normal_update.gru.transform"}
    assert {name.split(".")[1] for name in names if name.startswith("decoder.")} == {"compress", "ups"}


def test_clips_have_four_frames():
    assert load_config(CONFIGS / "tri_xmem_r50.py").clip.length == 4


def test_all_computed_equals_the_dense_twin():
    model, dense = tiny("Fully"), build_tiny(BASE, TINY_XMEM)
    load_dense_weights(model, dense.state_dict())
    set_gates(model, 2)
    frames, prompts = random_frames(7, SIZE), {0: ((1, 2), boxes(2, SIZE))}
    for ours, theirs in zip(track(model, frames, prompts), track(dense, frames, prompts), strict=True):
        assert torch.allclose(ours, theirs, atol=2e-3) and torch.equal(ours.argmax(dim=1), theirs.argmax(dim=1))


def test_object_added_under_mixed_starts_dense_and_the_others_go_on():
    model, masks = tiny(), boxes(2, SIZE)
    work = work_per_frame(model, random_frames(6, SIZE), {0: ((1,), masks[:, :1]), 3: ((2,), masks[:, 1:])})
    assert all(item.policy is None for item in work[3])  # a prompt makes a memory frame
    for layer in ("decoder.compress.block1.conv1", "normal_update.gru.transform"):
        at = [[item for item in done if item.layer == layer] for done in work]
        assert at[4][0].policy[1].eq(2).all() and not at[4][0].policy[0].eq(2).all()
        assert not at[5] or not at[5][0].policy[1].eq(2).all()


def test_the_update_of_the_sensory_memory_knows_its_objects_on_frames_that_start_others():
    """In training it runs on frames that start objects too: for those that were there before."""
    model, masks = tiny("Fully").train(), boxes(2, SIZE)
    frames = random_frames(4, SIZE)
    state = model.init_state(training=True)
    track(model, frames[:2], {0: ((1,), masks[:, :1]), 1: ((2,), masks[:, 1:])}, state=state)
    kept = state.layers["normal_update.gru.transform"]
    assert kept.keys == ((0, 1),)
    track(model, frames[2:], state=state)
    assert state.layers["normal_update.gru.transform"].keys == ((0, 1), (0, 2))


def test_clips_of_four_frames_have_two_memory_frames_which_are_dense():
    model = tiny(**{"model.memory.train_candidates": 2}).train()
    batch = training_batch(model, clips=1, length=4)
    sample = batch["data_samples"][0]
    sample.labels, sample.first_frames, sample.ids = sample.labels.masked_fill(sample.labels == 2, 0), (0,), (1,)
    labels = sample.labels[None]
    prompts = clip_prompts(labels, first_frames(batch["data_samples"], never=4))
    seen = set()
    for seed in range(6):
        torch.manual_seed(seed)
        state = model.init_state(training=True)
        with torch.no_grad():
            work = [output.noted(Work) for output in model.unroll(batch["inputs"], prompts, state=state)]
        dense = tuple(t for t, done in enumerate(work)
                      if all(item.policy is None for item in done if item.layer.startswith("key_encoder")))
        assert tuple(entry.frame for entry in state.memory) == dense
        seen.add(dense)
    assert seen == {(0, 1), (0, 2)}


def test_everywhere_adds_what_is_around_the_blocks_and_computes_the_same():
    options = {**TINY_XMEM, **sparse("TripleSparseConv", "Fully", everywhere=True)}
    model, plain, dense = build_tiny(BASE, options), tiny("Fully"), build_tiny(BASE, TINY_XMEM)
    names, usual = ({name for name, module in m.named_modules() if isinstance(module, SparseConv)}
                    for m in (model, plain))
    assert names - usual == {*(f"key_encoder.backbone.layer{i}.0.downsample.0" for i in (1, 2, 3)),
                             "key_encoder.key_proj", "key_encoder.context_proj", "decoder.pred",
                             "decoder.compress.block1.downsample",
                             "decoder.ups.0.out_conv.downsample", "decoder.ups.0.skip_conv", "decoder.ups.1.skip_conv"}
    load_dense_weights(model, dense.state_dict())
    set_gates(model, 2)
    frames, prompts = random_frames(4, SIZE), {0: ((1, 2), boxes(2, SIZE))}
    for ours, theirs in zip(track(model, frames, prompts), track(dense, frames, prompts), strict=True):
        assert torch.allclose(ours, theirs, atol=2e-3)


def test_the_update_of_the_sensory_memory_is_counted():
    """One frame between memorised ones runs the projections at all strides and the GRU at the coarsest."""
    model = build_tiny(BASE, TINY_XMEM)
    macs = measure_frames(model, size=(64, 64), objects=2).macs
    places, update = 2 * 4 * 4, model.normal_update
    weights = sum(p.weight.numel() for p in update.projections) + update.gru.transform.weight.numel()
    assert macs["query"]["normal_update"] == places * weights
    assert "value_encoder" not in macs["query"] and "deep_update" not in macs["query"]
    assert "normal_update" not in macs["memory"] and macs["memory"]["deep_update"] > 0
