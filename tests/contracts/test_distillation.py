"""Any teacher, any student: pairs of methods are trained for two iterations, and what comes out is tested."""

import copy

import pytest
import torch
from mmengine.config import Config

from vosplug.engine import run_training
from vosplug.inference import build_segmentor
from vosplug.registry import SEGMENTORS
from vosplug.utils.checkpoint import load_checkpoint_file, save_checkpoint_file

from .helpers import boxes, build_model, random_frames, track

READOUT, OUTPUT = "readout.output", "propagation.0.id.output"
DEFORMABLE = dict(type="GatedPropagation", radius=1,
                  deformable=dict(type="GatedDeformableAttention", grid_factor=2, groups=4))
SPARSE = dict(conv=dict(type="TripleSparseConv"), policy=dict(type="Mixed"), where="QD", everywhere=True,
              losses=[dict(type="SparsityLoss", weight=0.1)])
# Teacher and student (name, number of the example, changes), and the features of each that are compared.
PAIRS = {
    "STCN to a small STCN": (("STCN", 0, {}), ("STCN", 1, {}), READOUT, READOUT),
    "small STCN to DeAOT": (("STCN", 1, {}), ("DeAOT", 0, {}), READOUT, OUTPUT),
    "XMem to DeAOT": (("XMem", 0, {}), ("DeAOT", 0, {}), "readout.weights", "propagation.0.visual.weights"),
    "DeAOT to deformable DeAOT": (("DeAOT", 1, {}), ("DeAOT", 0, dict(matching_head=DEFORMABLE)),
                                  "propagation.2.id.output", OUTPUT),
    "AOT to DeAOT": (("AOT", 1, {}), ("DeAOT", 0, {}), "propagation.2.output", "propagation.0.visual.gated"),
    "DeAOT to AOT": (("DeAOT", 0, {}), ("AOT", 0, {}), OUTPUT, "propagation.output"),
    "FRTM to STCN": (("FRTM", 0, {}), ("STCN", 1, {}), "coarse", "coarse"),
    "DeAOT to SST": (("DeAOT", 0, {}), ("SST", 0, {}), "propagation.output", "coarse"),
    "SST to XMem": (("SST", 0, {}), ("XMem", 0, {}), "coarse", READOUT),
    "DeAOT to a sparse STCN": (("DeAOT", 0, {}), ("STCN", 0, dict(sparse=SPARSE)), OUTPUT, READOUT),
}


def pair_config(folder, teacher, student, theirs, ours):
    """Config of a training of two iterations; the weights of the teacher lie in ``folder``."""
    (teacher, number, changes), teacher_file = teacher, folder / "teacher.pth"
    taught_by = SEGMENTORS.example(teacher, number, **changes)
    save_checkpoint_file(dict(state_dict=build_model(taught_by, seed=3).state_dict()), teacher_file)
    name, number, changes = student
    logits = dict(teacher="logits", student="logits")
    return Config(copy.deepcopy(dict(
        work_dir=str(folder / "run"),
        model=SEGMENTORS.example(name, number, losses=[], **changes),
        task=dict(type="Distillation", teacher=dict(config=dict(model=taught_by), weights=str(teacher_file)), pairs=[
            dict(logits, loss=dict(type="InterObjectLoss")), dict(logits, loss=dict(type="IntraObjectLoss")),
            dict(teacher=theirs, student=ours, loss=dict(type="CKALoss", weight=1.5))]),
        train_dataloader=dict(batch_size=2, num_workers=0, dataset=dict(
            type="SyntheticClips", size=(65, 65), options=dict(objects=(2, 2), late=0.0, textures=8))),
        clip=dict(length=3, max_skip=2), train_cfg=dict(max_iters=2),
        optim_wrapper=dict(optimizer=dict(type="AdamW", lr=1e-2), clip_grad=dict(max_norm=1.0)))))


@pytest.mark.parametrize("pair", PAIRS)
def test_a_student_is_trained_by_a_teacher_and_tested(tmp_path, pair):
    config = pair_config(tmp_path, *PAIRS[pair])
    run_training(config, device=torch.device("cpu"))
    torch.manual_seed(0)
    fresh = SEGMENTORS.build(config.model)
    weights = load_checkpoint_file(tmp_path / "run" / "final.pth")["state_dict"]
    assert set(weights) == set(fresh.state_dict())
    model = build_segmentor(config, tmp_path / "run" / "final.pth").eval()
    frames = random_frames(3, (65, 80))
    prompts = {0: ((1, 2), boxes(2, (65, 80)))}
    ours, untrained = track(model, frames, prompts)[2], track(fresh.eval(), frames, prompts)[2]
    assert ours.shape == (1, 3, 65, 80) and torch.isfinite(ours).all() and not torch.allclose(ours, untrained)
