"""Parts in other company than that of their papers, and stages that are called for some rows, or for nobody's."""

import copy

import pytest
import torch

from vosplug.models.backbones import Backbone
from vosplug.models.backbones.sparse_convs import SparseConv
from vosplug.models.memories import LongTermMemory
from vosplug.registry import MATCHING_HEADS, MEMORIES, SEGMENTORS
from vosplug.structures import Work
from vosplug.utils.errors import ConfigError

from .helpers import SPARSE, boxes, build_model, random_frames, segmentor_cases, sparse_model, track, training_batch
from .parts import Part, examples

SIZE, IDS = (40, 56), (4, 2, 7)


def usual(kind, config):
    """Whether a config is that of a part that answers the usual calls of its kind."""
    return config is not None and kind.role(config["type"]) == ""


def mixtures():
    """Every segmentor that reads a memory through a head, with every memory and every head."""
    for part in examples(SEGMENTORS):
        config = part.config
        if usual(MATCHING_HEADS, config.get("matching_head")) and usual(MEMORIES, config.get("memory")):
            for memory in {p.name: p for p in examples(MEMORIES, "")}.values():  # the last, smallest example of each
                for head in MATCHING_HEADS.members():
                    if MATCHING_HEADS.role(head) == "" and MATCHING_HEADS.examples(head):
                        yield pytest.param(part, memory, Part(MATCHING_HEADS, head, 0),
                                           id=f"{part.name}-{part.number}-{memory.name}-{head}")


@pytest.mark.parametrize("part, memory, head", mixtures())
def test_segmentors_go_with_every_memory_and_every_head(part, memory, head):
    model = build_model(part.kind.example(part.name, part.number, memory=memory.config, matching_head=head.config))
    if head.build().similarity_of is None and isinstance(model.memory, LongTermMemory):
        with pytest.raises(ConfigError, match="use a FrameBank"):
            model.init_state()
        return
    state = model.init_state()
    outputs = track(model, random_frames(7, SIZE), state=state, removed={5: [4]},
                    prompts={0: ((4,), boxes(1, SIZE)), 3: ((2,), boxes(2, SIZE)[:, 1:])})
    assert all(torch.isfinite(x).all() for x in outputs) and [x.shape[1] for x in outputs] == 3 * [2] + 2 * [3] + [2, 2]
    assert 0 < len(state.memory) <= memory.config.get("max_frames", 7)
    assert all(e["value"].shape[1] == 1 for e in state.memory)
    losses = model.train()(**training_batch(model), mode="loss")
    sum(value for name, value in losses.items() if "loss" in name).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.value_encoder.parameters())


def test_prototypes_are_made_by_the_similarity_of_any_head():
    memory = MEMORIES.example("LongTermMemory", 1, every=1)
    model = build_model(SEGMENTORS.example("STCN", memory=memory, matching_head=dict(type="L2Matching")))
    state = model.init_state()
    track(model, random_frames(8, SIZE), {0: (IDS, boxes(3, SIZE))}, state=state)
    assert 0 < state.memory.long_term_tokens <= 18 and len(state.memory.working) <= 3
    assert all("shrinkage" not in entry for entry in state.memory)
    assert sum(float(entry.use_count.sum()) for entry in state.memory) > 0


def after(model, frames):
    """State after so many frames with three objects, and the next frame as the network sees it."""
    pictures, state = random_frames(frames + 1, SIZE), model.init_state()
    track(model, pictures[:frames], {0: (IDS, boxes(3, SIZE))}, state=state)
    return state, model.data_preprocessor.frames(pictures[frames:])[0]


def stages(model, state, x, chosen):
    """The stages for the rows that are true in ``chosen``: their logits, the rows, and the notes."""
    with torch.no_grad(), model.running(state) as run:
        features = model.encode_deep(model.encode_shallow(x))
        rows = model.rows(state).select(chosen)
        with run.whose(rows):
            coarse = model.decode_coarse(state, features, rows)
            logits = model.decode_fine(state, features, coarse, rows)
            masks = model.feedback(state, model.compose(state, logits, rows))
            model.memorize(state, features, masks, rows, run)
    return logits, rows, run.notes


def per_row(state):
    """Name -> key -> value, of what the state, layers that run once per row, and target models keep of objects."""
    kept = dict(state.objects.held)
    for layer, held in state.layers.items():
        if all(isinstance(key, tuple) for key in held.keys):
            kept |= {f"{layer}, {name}": (held.keys, tensor) for name, tensor in held.tensors.items()}
    found = {name: dict(zip(keys, tensor, strict=True)) for name, (keys, tensor) in kept.items()}
    for (batch, slot), target in getattr(state.memory, "targets", {}).items():
        for name, value in dict(filter=target.filter, weights=target.weights, seen=torch.tensor(target.seen)).items():
            found.setdefault(f"target, {name}", {})[batch, state.ids.ids[slot]] = value
    return found


@pytest.mark.parametrize("frame", [4, 5], ids=["query frame", "memory frame"])
@pytest.mark.parametrize("config", segmentor_cases())
def test_a_subset_of_the_rows_leaves_the_others_alone(config, frame):
    model = build_model(copy.deepcopy(config))
    state, x = after(model, frame)
    if len(model.rows(state)) != 3:
        pytest.skip("its rows are not those of single objects")
    chosen = [True, False, True]
    before, twin = copy.deepcopy(state), copy.deepcopy(state)
    logits, rows, _ = stages(model, state, x, chosen)
    everything, _, _ = stages(model, twin, x, [True, True, True])
    assert rows.keys == ((0, 4), (0, 7))
    assert torch.allclose(logits, everything[chosen], atol=1e-4)
    old, new, all_new = (per_row(one) for one in (before, state, twin))
    assert old.keys() == new.keys()
    for name in old:
        assert torch.equal(new[name][0, 2], old[name][0, 2]), name
        for key in rows.keys:  # what a frame changes, it changes for the rows that it is computed for
            assert torch.equal(new[name][key], old[name][key]) is torch.equal(all_new[name][key], old[name][key]), name
    latest = None if state.memory is None else state.memory.latest
    if latest is not None and latest.frame == frame:
        assert latest.valid.tolist() == [chosen]
        assert all((x[:, 1] == 0).all() for x in latest.object_tensors.values())
    state.frame_index += 1
    with torch.no_grad():
        assert torch.isfinite(model.step(state, x).logits).all()


def test_the_subset_that_is_memorised_is_the_one_that_is_read():
    """An object that was left out is read as if the frame had not been memorised, the others from it as well."""
    model = build_model(SEGMENTORS.example("STCN"))
    state, x = after(model, 5)
    without = copy.deepcopy(state)
    stages(model, state, x, [True, False, True])
    (read, _, _), (old, _, _) = (stages(model, s, x, [True] * 3) for s in (state, without))
    assert len(list(state.memory)) == 3 and torch.allclose(read[1], old[1], atol=1e-5)
    assert all((read[row] - old[row]).abs().max() > 1e-4 for row in (0, 2))


ROWS_SPARSE = [pytest.param(sparse_model(*case), id="-".join(map(str, case[2])))
               for case in SPARSE if case[0] == "STCN" and "D" in (*case[2], "QD")[2]]


@pytest.mark.parametrize("config", ROWS_SPARSE)
def test_a_sparse_decoder_computes_the_rows_that_are_asked_for(config):
    model = build_model(copy.deepcopy(config))
    state, x = after(model, 4)
    layers = {m.name for m in model.decoder.modules() if isinstance(m, SparseConv) and not m.per_frame}
    sites = {}
    for chosen in ([True] * 3, [False, True, False]):
        _, rows, notes = stages(model, copy.deepcopy(state), x, chosen)
        sites[len(rows)] = {note.layer: note.sites for note in notes if isinstance(note, Work) and note.layer in layers}
    assert sites[3].keys() == layers != set()
    assert all(sites[3][layer] == 3 * sites[1][layer] for layer in layers)


@pytest.mark.parametrize("config", ROWS_SPARSE)
def test_sparse_layers_want_to_know_whose_rows_run(config):
    model = build_model(copy.deepcopy(config))
    state, x = after(model, 4)
    before = copy.deepcopy(state.layers)
    with torch.no_grad(), model.running(state):
        features = model.encode_deep(model.encode_shallow(x))
        rows = model.rows(state)
        with pytest.raises(RuntimeError, match=r"nobody said whose rows these are: call it inside run.whose\(rows\)"):
            model.decode_coarse(state, features, rows)
    for name in set(state.layers) - {m.name for m in model.modules() if getattr(m, "per_frame", False)}:
        assert state.layers[name].keys == before[name].keys


@pytest.mark.parametrize("config", [pytest.param(sparse_model(*case), id="-".join(map(str, case[:1] + case[2])))
                                    for case in SPARSE])
def test_a_batch_of_nobodys_rows_goes_densely_through_a_sparse_backbone(config):
    model = build_model(copy.deepcopy(config))
    dense = build_model({key: value for key, value in config.items() if key != "sparse"})
    names = dense.state_dict().keys()
    dense.load_state_dict({name: value for name, value in model.state_dict().items() if name in names})
    backbone, other = (next(m for m in whole.modules() if isinstance(m, Backbone)) for whole in (model, dense))
    state, x = after(model, 4)
    before, batch = copy.deepcopy(state), torch.cat([x, x.flip(-1), x.roll(3, dims=-1), -x, x * 0.5])
    with torch.no_grad(), model.running(state) as run:
        with run.whose(None):
            pyramid = backbone(batch)
            assert run.notes == []
        with pytest.raises(RuntimeError, match="an input of 5 rows came where 1 frames are processed"):
            backbone(batch)
    with torch.no_grad():
        expected = other(batch)
    assert all(torch.allclose(pyramid[name], expected[name], atol=1e-4) for name in expected)
    assert state.layers.keys() == before.layers.keys()
    for name, kept in state.layers.items():
        assert kept.keys == before.layers[name].keys
        assert all(torch.equal(tensor, before.layers[name].tensors[which]) for which, tensor in kept.tensors.items())
