"""What CFBI and SST share: slots that come and go, labels that are given, means over references, the training step."""

import pytest
import torch
from mmengine import Config

from tests.contracts.helpers import CONFIGS, boxes, build_changed, build_model, random_frames, track, training_batch
from vosplug.models.segmentors.slot_base import BEFORE, PREVIOUS, REFERENCE
from vosplug.models.tasks.supervised import SupervisedClips
from vosplug.registry import SEGMENTORS
from vosplug.structures import ClipSample, Decision, Prompt
from vosplug.utils.configs import load_config
from vosplug.utils.errors import ConfigError

CFBI, SST = ("CFBI", {}), ("SST", {})
CACHED = ("SST", {"model.matching_head.causal": True, "model.matching_head.cache": "layers"})
BOTH = pytest.mark.parametrize("case", [CFBI, SST], ids=["cfbi", "sst"])
ALL = pytest.mark.parametrize("case", [CFBI, SST, CACHED], ids=["cfbi", "sst", "cached"])


@BOTH
def test_rows_are_background_and_objects_of_videos_that_have_one(case):
    model = build_changed(*case)
    state = model.init_state(2)
    x = torch.randn(2, 3, 33, 49)
    assert len(model.rows(state)) == 0
    masks = torch.zeros(2, 1, 33, 49)
    masks[:, :, 5:20, 8:30] = 1
    with torch.no_grad():
        model.step(state, x, Prompt(ids=(7,), masks=masks, valid=torch.tensor([[True], [False]])))
        assert model.rows(state).keys == ((0, "background"), (0, 7)) and model.rows(state).shape == (2, 2)
        logits = model.step(state, x).logits
    assert torch.isfinite(logits[0]).all() and logits[1, 1].isneginf().all() and (logits[1, 0] == 0).all()


@BOTH
def test_cells_of_removed_objects_belong_to_no_slot(case):
    model, size = build_changed(*case), (33, 49)
    state = model.init_state()
    track(model, random_frames(3, size), {0: ((4, 9), boxes(2, size))}, state=state)
    before = model.slots_of(state, state.cache[PREVIOUS].ids)
    assert set(before.unique().tolist()) <= {0, 1, 2}
    entries = [entry.frame for entry in state.memory]
    model.remove_objects(state, [4])
    after = model.slots_of(state, state.cache[PREVIOUS].ids)
    table = torch.tensor([0, -1, 1])
    assert torch.equal(after, table[before])
    assert [entry.frame for entry in state.memory] == entries and model.rows(state).keys == ((0, "background"), (0, 9))
    model.remove_objects(state, [9])
    assert len(state.memory) == 0 and len(model.rows(state)) == 0
    assert model.slots_of(state, torch.tensor([-1, 0, 4, 9])).tolist() == [-1, 0, -1, -1]


@ALL
def test_objects_that_come_and_go_leave_no_trace_in_the_slots_of_others(case):
    """300 frames: means and labels are those of ids, whatever channels the ids have at the time."""
    model, size, plan = build_changed(*case), (17, 33), {}
    generator = torch.Generator().manual_seed(3)
    state, alive, number, references = model.init_state(), [], 0, {}
    frames = random_frames(12, size)
    with torch.no_grad():
        for t in range(300):
            prompt = None
            if t % 23 == 0 and len(alive) < 5:
                number += 1
                mask = torch.zeros(1, 1, *size)
                top, left = (int(torch.randint(0, s - 8, (), generator=generator)) for s in size)
                mask[..., top : top + 8, left : left + 8] = 1
                prompt = Prompt(ids=(number,), masks=mask)
                alive.append(number)
            if t % 31 == 30 and prompt is None and len(alive) > 1:
                gone = alive.pop(int(torch.randint(0, len(alive), (), generator=generator)))
                model.remove_objects(state, [gone])
                references.pop(gone)
            x, _ = model.data_preprocessor.frames(frames[t % 12][None])
            model.step(state, x, prompt)
            previous = state.cache[PREVIOUS]
            for value in (0, *alive):
                inside = previous.ids[0] == value
                if prompt is not None:
                    sums = references.setdefault(value, [0, 0, *plan.get("all", (0, 0))])
                    cells = previous.embedding[0]
                    new = [cells[:, inside].sum(dim=1), inside.sum(), cells[:, ~inside].sum(dim=1), (~inside).sum()]
                    references[value] = [a + b for a, b in zip(sums, new, strict=True)]
            if prompt is not None:
                every = (previous.embedding[0].flatten(1).sum(dim=1), previous.ids[0].numel())
                plan["all"] = tuple(a + b for a, b in zip(plan.get("all", (0, 0)), every, strict=True))
    rows = model.rows(state)
    assert rows.keys == ((0, "background"), *((0, value) for value in alive)) and number > 10 and len(alive) > 1
    sums = state.objects.read(REFERENCE, rows)
    for row, value in zip(sums, (0, *alive), strict=True):
        want = references[value]
        for own, total, cells in zip(row, want[::2], want[1::2], strict=True):
            assert torch.allclose(own, torch.cat([total, torch.as_tensor(cells).view(1).float()]), rtol=1e-4, atol=1e-3)
    held = {key for own, _ in state.objects.held.values() for key in own}
    assert held == set(rows.keys) and len(state.memory) <= 16


@BOTH
def test_means_of_what_is_nowhere_or_everywhere_are_zero(case):
    model, size = build_changed(*case), (33, 49)
    state = model.init_state()
    track(model, random_frames(1, size), {0: ((1, 2), torch.stack([torch.ones(size), torch.zeros(size)])[None])},
          state=state)
    background, whole, empty = model.vectors(state, model.rows(state)).unflatten(1, (4, -1))
    assert (background[[0, 2]] == 0).all() and (whole[[1, 3]] == 0).all() and (empty[[0, 2]] == 0).all()
    assert torch.allclose(background[1], whole[0]) and whole[0].any()


@ALL
def test_labels_are_given_first_and_half_of_the_training_and_own_ones_later(case):
    model = build_changed(case[0], {**case[1], "model.labels_in_memory": 0.5})
    model.train()
    batch = training_batch(model, clips=1, length=4)
    labels = batch["data_samples"][0].labels
    labels[1, :6] = 255  # void belongs to nobody
    for iteration, taught in ((0, True), (49, True), (50, False), (99, False)):
        model.set_progress(iteration, 100)
        ids = []
        sum_up = model.sum_up
        model.sum_up = lambda state, x, own, run, keep=ids, call=sum_up: keep.append(own) or call(state, x, own, run)
        record = SupervisedClips().record(model, batch["inputs"], batch["data_samples"])
        del model.sum_up
        assert [frame.scored for frame in record.frames] == [False, False, True, True]
        assert all(own.grad_fn is None and own.dtype == torch.int64 for own in ids) and len(ids) == 3
        assert set(ids[1].unique().tolist()) == {-1, 0, 1, 2}  # the previous frame: always as it is given
        truth = labels[2][None].long()
        grid = ids[2].shape[-2:]
        small = truth[:, torch.arange(grid[0])[:, None] * 49 // grid[0], torch.arange(grid[1]) * 49 // grid[1]]
        assert torch.equal(ids[2], small) == taught


@ALL
def test_a_clip_gives_the_gradient_of_separate_steps(case):
    """Reference, previous and one current frame at a time, as CFBI's trainer: the sum of their gradients."""
    if case[0] == "SST":
        case = (case[0], {**case[1], "model.memory.max_frames": 5})
    model = build_changed(case[0], {**case[1], "model.labels_in_memory": 1.0}).double().train()
    model.set_progress(0, 1)
    whole = training_batch(model, clips=1, length=5)
    sample = whole["data_samples"][0]
    sample.labels = torch.where(sample.labels == 2, 0, sample.labels)
    sample.first_frames, sample.ids = (0,), (1,)
    inputs = whole["inputs"].double()

    def gradient(clip, labels, scored):
        model.zero_grad()
        task = ClipSample(labels=labels, first_frames=(0,), ids=(1,))
        record = SupervisedClips().record(model, clip, [task])
        frames = [frame for frame in record.frames if frame.index in scored]
        sum(model.losses[0].pixels(frame.logits, frame.labels) for frame in frames).backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    together = gradient(inputs, sample.labels, (2, 3, 4))
    separate = {name: torch.zeros_like(grad) for name, grad in together.items()}
    for current in (2, 3, 4):
        if case[0] == "CFBI":  # only the reference and the previous frame count
            index = [0, current - 1, current]
            part = gradient(inputs[:, index], sample.labels[index], (2,))
        else:
            part = gradient(inputs[:, : current + 1], sample.labels[: current + 1], (current,))
        for name, grad in part.items():
            separate[name] += grad
    scale = max(float(grad.abs().max()) for grad in together.values())
    assert scale > 1e-3 and max(float((together[n] - separate[n]).abs().max()) for n in together) < 1e-10 * scale


@ALL
def test_a_reuse_gate_can_be_put_around(case):
    cfg = load_config(CONFIGS / "_base_/g_frtm_model.py").model
    inner = Config({"model": SEGMENTORS.example(case[0])})
    inner.merge_from_dict(case[1])
    gated = build_model(dict(type="ReuseGated", segmentor=inner.model, gate=cfg.gate, tau=0.0, max_reuse=2,
                             translator=dict(type="RefineTranslator", hidden=4)))
    size, seen = (33, 49), []
    gated.observers.append(seen.append)
    logits = track(gated, random_frames(5, size), {0: ((1, 2), boxes(2, size))})
    assert all(torch.isfinite(x).all() and x.shape == (1, 3, *size) for x in logits)
    reused = [note.reused.tolist() for output in seen for note in output.noted(Decision)]
    assert reused == [[True] * 3, [True] * 3, [False] * 3, [True] * 3]


@BOTH
def test_many_objects_are_decoded_in_passes_that_change_nothing(case):
    size = (33, 49)  # one predicted frame: its labels may differ where two of so many objects are as good as equal
    frames, prompt = random_frames(2, size), {0: (tuple(range(1, 26)), boxes(25, size))}
    models = [build_changed(case[0], {**case[1], "model.decoder.slots_per_pass": count}) for count in (None, 4, 1)]
    results = [track(model.double(), frames, prompt) for model in models]
    for other in results[1:]:
        assert all(torch.allclose(a, b, atol=1e-9) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("options, text", [
    ({"model.labels_in_memory": 1.5}, "labels_in_memory must lie in"),
    ({"model.given_frames": 0}, "given_frames must be at least 1"),
    ({"model.decoder.slots_per_pass": 0}, "slots_per_pass must be at least 1, or None"),
    ({"model.decoder.channels": 20}, "channels must be a multiple of 8"),
    ({"model.encoder.neck.low_level": "c7"}, "low_level must be a level of the backbone"),
    ({"model.encoder.backbone.output_stride": 32, "model.encoder.backbone.widths": (8, 8, 8, 8),
      "model.encoder.backbone.blocks": (1, 1, 1, 1)}, "no rates of its own for a last level of stride 32")])
def test_wrong_options_are_named(options, text):
    with pytest.raises(ConfigError, match=text):
        build_changed("CFBI", options)


def test_sums_of_the_previous_frame_are_of_every_row():
    model, size = build_changed(*CFBI), (33, 49)
    state = model.init_state()
    track(model, random_frames(2, size), {0: ((1,), boxes(1, size))}, state=state)
    sums = state.objects.read(BEFORE, model.rows(state))
    cells = state.cache[PREVIOUS].ids.numel()
    assert torch.equal(sums[:, :, -1].sum(dim=1), torch.full((2,), float(cells)))
    assert torch.allclose(sums.sum(dim=1)[0, :-1], state.cache[PREVIOUS].embedding[0].flatten(1).sum(dim=1), rtol=1e-4)
