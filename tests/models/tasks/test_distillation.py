"""A student and its teacher on the same clips, without labels."""

import copy

import numpy as np
import pytest
import torch

from tests.contracts.helpers import build_model, random_frames, training_batch
from vosplug.models.distillers import Grid, Teacher, on_grid
from vosplug.models.tasks import Distillation
from vosplug.models.tasks.prompts import given_prompt, region_prompt
from vosplug.registry import SEGMENTORS, TASKS
from vosplug.structures import ClipSample, Geometry, Prompt
from vosplug.utils.checkpoint import save_checkpoint_file
from vosplug.utils.errors import CheckpointError, ConfigError

CKA = dict(type="CKALoss", weight=1.5)
LOGITS = dict(teacher="logits", student="logits")
PAIRS = [dict(LOGITS, loss=dict(type="InterObjectLoss")), dict(LOGITS, loss=dict(type="IntraObjectLoss")),
         dict(teacher="propagation.2.id.output", student="propagation.0.id.output", loss=CKA)]
TEACHER = dict(config=dict(model=SEGMENTORS.example("DeAOT", 1)), weights="random")


def student(name="DeAOT", number=0, **changes):
    return build_model(SEGMENTORS.example(name, number, losses=[], **changes)).train()


def task_of(pairs=PAIRS, teacher=TEACHER, **options):
    torch.manual_seed(5)
    return Distillation(teacher=copy.deepcopy(teacher), pairs=copy.deepcopy(pairs), **options)


def losses(model, task, batch, seed=0):
    model.use_task(task)
    torch.manual_seed(seed)
    return model(**batch, mode="loss")


class TestTeacher:
    def test_stays_in_evaluation_mode_and_wants_no_gradients(self):
        model, task = student(), task_of()
        before = {name: x.clone() for name, x in task.teacher.model.state_dict().items()}
        batch = training_batch(model)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for _ in range(2):
            model.train()
            values = losses(model, task, batch)
            sum(v for k, v in values.items() if k.startswith("loss_")).backward()
            optimizer.step()
        teacher = task.teacher.model
        assert not any(part.training for part in teacher.modules())
        assert all(p.grad is None and not p.requires_grad for p in teacher.parameters())
        assert all(torch.equal(x, before[name]) for name, x in teacher.state_dict().items())
        assert not any(part is teacher for part in model.modules())
        assert copy.deepcopy(model).task.teacher is task.teacher

    def test_its_memory_is_that_of_training(self):
        config = SEGMENTORS.example("DeAOT", memory=dict(type="LayeredBank", gap=9999, train_gap=2))
        teacher = Teacher(dict(model=config), "random")
        assert teacher.new_state(3).memory.gap == 2 and not teacher.new_state(3).training

    def test_weights_have_to_be_there_and_to_fit(self, tmp_path):
        config = dict(model=SEGMENTORS.example("DeAOT", 1))
        save_checkpoint_file(dict(state_dict=build_model(SEGMENTORS.example("DeAOT", 0)).state_dict()),
                             tmp_path / "other.pth")
        save_checkpoint_file(dict(state_dict=build_model(config["model"], seed=7).state_dict()), tmp_path / "own.pth")
        with pytest.raises(CheckpointError, match=r"task.teacher: .*other.pth does not fit DeAOT: \d+ missing"):
            Teacher.build(dict(config=config, weights=str(tmp_path / "other.pth")))
        with pytest.raises(CheckpointError, match=r"task.teacher: checkpoint not found: .*none.pth"):
            Teacher.build(dict(config=config, weights=str(tmp_path / "none.pth")))
        for weights in (None, ""):
            with pytest.raises(ConfigError, match="needs the weights of its teacher: train it first"):
                Teacher.build(dict(config=config, weights=weights))
        teacher = Teacher.build(dict(config=config, weights=str(tmp_path / "own.pth")))
        assert torch.equal(teacher.model.decoder.conv_out.weight,
                           build_model(config["model"], seed=7).decoder.conv_out.weight)

    @pytest.mark.parametrize(("settings", "message"), [
        (None, "needs teacher=dict"), (dict(weights="random"), "needs teacher=dict"),
        (dict(config="no_such_config", weights="random"), "task.teacher: config 'no_such_config' not found"),
        (dict(config=dict(train_cfg={}), weights="random"), "task.teacher: .*no 'model'"),
        (dict(config=TEACHER["config"], weight="x"), r"no option 'weight'. Did you mean 'weights'\?"),
        (dict(config=TEACHER["config"], weights="random", cfg_options={"seed": 1}), "cfg_options need the name"),
        (dict(config="efficientvis_small", weights="random"), "is a VIS segmentor, not a segmentor")])
    def test_wrong_settings_are_refused(self, settings, message):
        with pytest.raises(ConfigError, match=message):
            Teacher.build(settings)

    def test_changes_of_its_config(self):
        settings = dict(config="deaot_small", weights="random", cfg_options={"model.matching_head.layers": 3})
        assert len(Teacher.build(settings).model.matching_head.blocks) == 3

    def test_sees_what_the_student_sees_in_its_own_size(self):
        frames = random_frames(2, (70, 90)).float()[None]
        small = student("STCN")
        seen, _ = small.data_preprocessor.frames(frames[0])
        teacher = Teacher(TEACHER["config"], "random")
        clip = teacher.frames(seen[None], small)
        assert clip.shape == (1, 2, 3, 81, 97) and teacher.grid.geometry == Geometry((80, 96), (81, 97))
        same = Teacher(dict(model=SEGMENTORS.example("STCN")), "random")
        assert same.frames(seen[None], small).data_ptr() == seen.data_ptr()
        grey = SEGMENTORS.example("STCN", preprocessor=dict(type="VOSPreprocessor", mean=(0.5,) * 3, std=(0.25,) * 3))
        other = Teacher(dict(model=grey), "random").frames(seen[None], small)
        assert torch.allclose(other * 0.25 + 0.5, small.data_preprocessor.denormalize(seen[None]) / 255, atol=1e-5)


class TestGrids:
    @pytest.mark.parametrize(("pad", "align"), [((0, 0, 0, 0), True), ((3, 4, 5, 6), False), ((0, 0, 0, 0), False)])
    def test_cells_and_pixels_are_inverse(self, pad, align):
        grid = Grid(Geometry((30, 40), (60, 80), pad), align)
        there = grid.cells(grid.pixels((9, 11)), (9, 11))
        assert all(torch.allclose(x, torch.arange(len(x), dtype=x.dtype)) for x in there)

    def test_a_ramp_is_the_same_ramp_on_other_cells(self):
        """Columns of a picture, as two networks of other sizes and strides see them."""
        padded = Grid(Geometry((65, 97), (65, 97), (7, 8, 7, 8)), False)  # 80 x 112, stride 16: 5 x 7 cells
        resized = Grid(Geometry((65, 97), (65, 97)), True)  # stride 8: 9 x 13 cells
        x = padded.pixels((5, 7))[1].float().expand(1, 1, 5, 7)
        moved = on_grid(x, padded, resized, (9, 13))
        inside = resized.pixels((9, 13))[1].float().clamp(min=float(x.min()), max=float(x.max()))
        assert torch.allclose(moved, inside.expand(1, 1, 9, 13), atol=1e-3)
        back = on_grid(resized.pixels((9, 13))[1].float().expand(1, 1, 9, 13), resized, padded, (5, 7))
        assert torch.allclose(back, x.clamp(0, 96), atol=1e-3)

    def test_objects_that_a_clip_lacks_stay_absent(self):
        a, b = Grid(Geometry((64, 64), (65, 65)), True), Grid(Geometry((64, 64), (64, 64)), False)
        x = torch.zeros(2, 3, 9, 9)
        x[1, 2] = float("-inf")
        moved = on_grid(x, a, b, (8, 8))
        assert moved[1, 2].isneginf().all() and torch.isfinite(moved[0]).all() and torch.isfinite(moved[1, :2]).all()
        assert on_grid(x, a, a, (9, 9)) is x


class TestPrompts:
    def test_given_are_the_masks_of_first_frames_alone(self):
        labels = torch.zeros(3, 8, 8, dtype=torch.uint8)
        labels[:, 1:3], labels[1:, 5:7], labels[0, 0, 0] = 1, 2, 255
        late, none = ClipSample(labels, (0, 1), (4, 9)), ClipSample(torch.zeros_like(labels), (), ())
        prompt = given_prompt([late, none], torch.device("cpu"))
        assert prompt.ids == (1,) and prompt.valid.tolist() == [[True], [False]]
        assert torch.equal(prompt.masks[0, 0] > 0, labels[0] == 1)
        assert given_prompt([none, none], torch.device("cpu")) is None

    def test_regions_are_functions_of_picture_and_seed(self):
        images = random_frames(2, (60, 80)).float()
        one, two, other = (region_prompt(images, seed, count=(1, 4), area=(0.01, 0.25)) for seed in (1, 1, 2))
        assert torch.equal(one.masks, two.masks) and one.ids == two.ids
        assert one.masks.shape != other.masks.shape or not torch.equal(one.masks, other.masks)
        assert torch.equal(one.valid, one.masks.flatten(2).any(dim=2)) and one.valid.any(dim=1).all()
        assert (one.masks.sum(dim=1) <= 1).all()

    def test_a_batch_without_objects_costs_nothing_and_reaches_everything(self):
        model, batch = student(), training_batch(student())
        batch["data_samples"] = [ClipSample(torch.zeros(3, 49, 49, dtype=torch.uint8), (), ())] * 2
        values = losses(model, task_of(), batch)
        assert list(values) == ["loss_inter", "loss_intra", "loss_att"] and all(float(v) == 0 for v in values.values())
        sum(values.values()).backward()
        assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


class TestNames:
    def test_what_is_not_asked_for_is_not_published(self):
        model, batch = student(), training_batch(student())
        prompt = given_prompt(batch["data_samples"], torch.device("cpu"))
        for asked in ((), ("propagation.0.id.output",), None):
            outputs = list(model.unroll(batch["inputs"], [prompt, None, None], features=asked))
            assert outputs[0].features == {}
            found = outputs[1].features
            assert not any(type(note).__name__ == "Tap" for output in outputs for note in output.notes)
            assert list(found) == list(asked) if asked is not None else len(found) == 10
        assert found["propagation.0.visual.weights"].shape == (2, 16, 16)
        assert torch.allclose(found["propagation.0.id.weights"].sum(dim=-1), torch.ones(2, 16), atol=1e-5)
        assert found["propagation.0.id.output"].shape == found["propagation.0.visual.gated"].shape == (2, 16, 64)
        assert torch.equal(found["propagation.0.id.output"], found["propagation.0.id.gated"])  # no gate in the first
        assert found["logits"].shape == (2, 2, 13, 13) and found["propagation.output"].shape == (2, 64, 4, 4)

    def test_outputs_are_weights_times_values(self):
        """Eq. 6, with the values of the memory."""
        model = student("DeAOT", 1)
        batch = training_batch(model, length=3)
        prompt = given_prompt(batch["data_samples"], torch.device("cpu"))
        state = model.init_state(2, training=True)
        model.step(state, batch["inputs"][:, 0], prompt)
        values = [next(iter(state.memory.read(model.rows(state))))[1][layer][0][1] for layer in range(3)]
        found = model.step(state, batch["inputs"][:, 1], features=None).features
        for layer, value in enumerate(values):
            read = found[f"propagation.{layer}.id.weights"] @ value
            assert torch.allclose(read[..., :64], found[f"propagation.{layer}.visual.output"], atol=1e-5)
            assert torch.allclose(read[..., 64:], found[f"propagation.{layer}.id.output"], atol=1e-5)

    def test_rows_that_ran_apart_come_together(self):
        """Clips whose objects start at different frames have different memories, and run one after the other."""
        model = student("DeAOT", 0)
        clip = training_batch(model, length=4)["inputs"]
        masks = torch.zeros(2, 1, 49, 49)
        masks[..., 4:20, 4:20] = 1
        early, late = (Prompt(ids=(1,), masks=masks, valid=torch.tensor(valid)) for valid in ([[True], [False]],
                                                                                          [[False], [True]]))
        model.matching_head.blocks[0].drop_path.rate = 0.0
        for out in (model.matching_head.blocks[0].long_out, model.matching_head.blocks[0].short_out):
            out.dropout = 0.0
        model.shuffle_identities = False
        both = list(model.unroll(clip, [early, late, None, None], features=None))[3].features
        alone = list(model.unroll(clip[1:, 1:], [Prompt(ids=(1,), masks=masks[:1]), None, None], features=None))[2]
        ours, theirs = both["propagation.0.id.output"], alone.features["propagation.0.id.output"]
        assert ours.shape == (2, 16, 64) and torch.allclose(ours[1:], theirs, atol=1e-4)
        ours, theirs = both["propagation.0.id.weights"], alone.features["propagation.0.id.weights"]
        assert ours.shape == (2, 16, 32) and theirs.shape == (1, 16, 16)  # a frame that starts objects is kept for all
        assert torch.allclose(ours[1:, :, :16], theirs, atol=1e-4) and (ours[1, :, 16:] == 0).all()
        assert torch.allclose(ours[0].sum(dim=-1), torch.ones(16), atol=1e-5)

    @pytest.mark.parametrize(("pair", "message"), [
        (dict(teacher="propagation.2.id.outptu", student="logits", loss=CKA),
         r"the teacher has no feature 'propagation.2.id.outptu'. Did you mean 'propagation.2.id.output'\? It has: "),
        (dict(teacher="logits", student="propagation.1.id.output", loss=CKA),
         "the student has no feature 'propagation.1.id.output'.*propagation.0.id.weights"),
        (dict(teacher="logits", student="logits", loss=CKA), "CKALoss compares a feature of cells, but .*'logits'"),
        (dict(teacher="propagation.0.id.output", student="propagation.0.id.output", loss=dict(type="KLLogitLoss")),
         "KLLogitLoss compares 'logits', but"),
        (dict(teacher="propagation.0.id.output", student="coarse", loss=dict(type="KLAttentionLoss", over="channels")),
         "needs maps with the same channels, but 'coarse' of the student has 32 and .* 64: take over='cells'")])
    def test_wrong_names_are_refused_before_training(self, pair, message):
        task = task_of([dict(teacher=pair["teacher"], student=pair["student"], loss=pair["loss"])])
        with pytest.raises(ConfigError, match=message):
            task.prepare(student())

    def test_unequal_keys_are_refused_with_the_remedy(self):
        pair = dict(teacher="propagation.0.id.weights", student="propagation.0.id.weights",
                    loss=dict(type="KLAttentionLoss"))
        deformable = dict(type="GatedPropagation", radius=2,
                          deformable=dict(type="GatedDeformableAttention", grid_factor=2))
        with pytest.raises(ConfigError, match=r"the same keys, but .* has 16 and .* 49: take a student with "
                                              r"grid_factor=1, or over='cells' of an 'output', or CKALoss"):
            task_of([pair]).prepare(student(matching_head=deformable))

    def test_features_of_objects_have_no_fixed_width(self):
        pair = dict(teacher="readout.output", student="propagation.0.id.output",
                    loss=dict(type="ProjectorEnsembleLoss"))
        teacher = dict(config=dict(model=SEGMENTORS.example("STCN")), weights="random")
        with pytest.raises(ConfigError, match="'readout.output' of the teacher has channels for each object"):
            task_of([pair], teacher).prepare(student())

    @pytest.mark.parametrize(("pairs", "message"), [
        ([], "pairs must be a list"), (dict(teacher="logits"), "pairs must be a list"), (["logits"], "must be a dict"),
        ([dict(LOGITS, loss=CKA, nme="x")], r"no option 'nme'. Did you mean 'name'\?"),
        ([dict(teacher="logits", loss=CKA)], "lacks 'student'"),
        ([dict(LOGITS, loss=dict(type="DiceLoss"))], "DiceLoss is no loss between two models"),
        ([dict(LOGITS, loss=dict(type="STCN"))], "is a segmentor, not a loss"),
        ([dict(LOGITS, loss=CKA), dict(LOGITS, loss=CKA)], "two pairs .* are called 'att' .* give one of them a name")])
    def test_wrong_pairs_are_refused(self, pairs, message):
        with pytest.raises(ConfigError, match=message):
            task_of(pairs)

    def test_terms_have_names(self):
        att = [dict(teacher=f"propagation.{k}.id.output", student="propagation.0.id.output", loss=CKA, name=f"att{k}")
               for k in range(3)]
        model = student()
        values = losses(model, task_of(att), training_batch(model))
        assert list(values) == ["loss_att0", "loss_att1", "loss_att2", "agreement"]


class TestOptions:
    @pytest.mark.parametrize(("options", "message"), [
        (dict(prompt="masks"), "prompt must be one of given, regions"), (dict(feedback="mine"), "feedback must be one"),
        (dict(teacher_share=1.5), "teacher_share must lie"), (dict(regions=(0, 3)), r"regions must be two numbers"),
        (dict(regions=(1, 300)), "in 1..254"), (dict(regions=(3, 1)), "the least first"),
        (dict(region_area=(0.3, 0.2)), "region_area must be two shares"), (dict(regions=(1,)), "regions must be two")])
    def test_wrong_options_are_refused(self, options, message):
        with pytest.raises(ConfigError, match=message):
            task_of(**options)

    def test_a_student_with_losses_on_labels_is_refused(self):
        model = build_model(SEGMENTORS.example("DeAOT")).train()
        with pytest.raises(ConfigError, match=r"losses that do \(ce, jaccard, reference\): set model.losses=\[\]"):
            task_of().prepare(model)

    def test_losses_on_work_stay(self):
        sparse = dict(conv=dict(type="TripleSparseConv"), policy=dict(type="Mixed"), where="QD", everywhere=True,
                      losses=[dict(type="SparsityLoss", weight=0.1)])
        model = student(sparse=sparse)
        values = losses(model, task_of(), training_batch(model))
        assert {"loss_inter", "loss_sparsity", "density", "agreement"} <= set(values)
        assert float(values["loss_sparsity"].detach()) > 0

    def test_max_objects_of_the_student_pad_the_relations(self):
        task = task_of()
        task.prepare(student(max_objects=4))
        assert task.pairs[0].loss.channels == 5
        pairs = [dict(teacher="readout.output", student="readout.output", loss=CKA), PAIRS[0]]
        task = task_of(pairs, dict(config=dict(model=SEGMENTORS.example("STCN")), weights="random"))
        task.prepare(student("STCN"))
        assert task.pairs[1].loss.channels == 11

    @pytest.mark.parametrize(("feedback", "leads"), [("teacher", [True] * 4), ("own", [False] * 4),
                                                     ("curriculum", [True, True, False, False])])
    def test_whose_masks_are_memorised(self, feedback, leads):
        task = task_of(feedback=feedback)
        seen = []
        for iteration in range(4):
            task.set_progress(iteration, 4)
            seen.append(task.leads)
        assert seen == leads
        # The teacher's masks really reach the memory of the student, and its own do otherwise.
        model = student()
        batch = training_batch(model)
        task.prepare(model)
        prompt = given_prompt(batch["data_samples"], torch.device("cpu"))
        states, fed = [], []
        plain = model.step

        def step(state, *args, fed_back=None, **options):
            states.append(state)
            fed.append(fed_back)
            output = plain(state, *args, fed_back=fed_back, **options)
            if fed_back is not None:
                channels = torch.arange(1, 1 + state.masks.shape[1]).view(-1, 1, 1)
                assert torch.equal((state.masks * channels).sum(dim=1).long(), fed_back)
            return output

        model.step = step
        frames = list(task.unroll(model, batch["inputs"], prompt, (), ()))
        assert [labels is not None for labels in fed] == [False, task.leads, task.leads]
        assert frames[1][2].shape == (2, 49, 49) and set(frames[1][2].unique().tolist()) <= {0, 1}

    def test_example_of_the_registry(self):
        model = build_model(SEGMENTORS.example("STCN", losses=[])).train()
        values = losses(model, TASKS.build(TASKS.example("Distillation")), training_batch(model))
        assert set(values) == {"loss_att", "loss_inter", "agreement"}
        assert 0 <= float(values["agreement"]) <= 1 and float(values["loss_att"].detach()) > 0


def test_a_student_that_is_its_teacher_has_nothing_to_learn():
    """Same weights, no randomness, the teacher's masks in both memories: every distance is zero."""
    config = SEGMENTORS.example("DeAOT", losses=[], shuffle_identities=False,
                                matching_head=dict(type="GatedPropagation", radius=2, drop_path=0.0, dropout=0.0))
    model = build_model(config).train()
    pairs = [dict(LOGITS, loss=dict(type=kind)) for kind in ("InterObjectLoss", "IntraObjectLoss", "KLLogitLoss")]
    names = ("propagation.0.id.output", "propagation.0.visual.gated")
    pairs += [dict(teacher=name, student=name, name=name, loss=CKA) for name in names]
    pairs.append(dict(teacher="propagation.0.id.weights", student="propagation.0.id.weights",
                      loss=dict(type="KLAttentionLoss")))
    task = task_of(pairs, dict(config=dict(model=config), weights="random"))
    task.teacher.model.load_state_dict(model.state_dict())
    for feedback in (True, False):
        task.leads = feedback
        values = losses(model, task, training_batch(model))
        assert float(values.pop("agreement")) == 1
        assert all(abs(float(v.detach())) < 1e-4 for v in values.values()), values


def test_probing_changes_nothing():
    model, task = student("STCN"), TASKS.build(TASKS.example("Distillation"))
    before = copy.deepcopy(model.state_dict())
    torch.manual_seed(3)
    task.prepare(model)
    drawn = torch.rand(3)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(3)) and model.training
    assert all(torch.equal(x, before[name]) for name, x in model.state_dict().items())


class TestNoLabels:
    """With every label after the prompt poisoned, all stays bit for bit as it is."""

    def batches(self, model, poisoned):
        for number in range(3):
            batch = training_batch(model, seed=10 * number)
            if poisoned:
                rng = np.random.default_rng(number)
                for sample in batch["data_samples"]:
                    values = rng.choice([0, 1, 255], size=sample.labels[1:].shape).astype(np.uint8)
                    sample.labels[1:] = torch.from_numpy(values)
            yield batch

    def trained(self, poisoned, prompt, feedback):
        model = student()
        task = task_of([*PAIRS, dict(teacher="decoded", student="decoded", loss=dict(type="ProjectorEnsembleLoss")),
                        dict(LOGITS, loss=dict(type="PseudoLabelLoss"))], prompt=prompt, feedback=feedback)
        model.use_task(task)
        torch.manual_seed(1)
        task.prepare(model)
        optimizer = torch.optim.AdamW([*model.parameters(), *task.trained.parameters()], 1e-2)
        seen = []
        for number, batch in enumerate(self.batches(model, poisoned)):
            task.set_progress(number, 3)
            if prompt == "regions" and poisoned:
                for sample in batch["data_samples"]:
                    sample.labels[0] = 255
            values = losses(model, task, batch, seed=number)
            optimizer.zero_grad()
            sum(v for k, v in values.items() if k.startswith("loss_")).backward()
            seen += [v.detach() for v in values.values()]
            seen += [p.grad.clone() for p in model.parameters() if p.grad is not None]
            optimizer.step()
        return [*seen, *(p.detach() for p in model.parameters())]

    @pytest.mark.parametrize(("prompt", "feedback"), [
        ("given", "curriculum"), ("given", "own"), ("regions", "teacher")])
    def test_bit_for_bit(self, prompt, feedback):
        clean, poisoned = (self.trained(p, prompt, feedback) for p in (False, True))
        assert len(clean) == len(poisoned) > 100
        assert all(torch.equal(a, b) for a, b in zip(clean, poisoned, strict=True))
