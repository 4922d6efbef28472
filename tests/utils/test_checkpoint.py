"""Reading and writing of checkpoints."""

import os
import pickle
import resource

import numpy as np
import pytest
import torch
from torch import nn

from vosplug.utils.checkpoint import load_checkpoint_file, load_weights, model_state, save_checkpoint_file
from vosplug.utils.errors import CheckpointError, OutputError


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, mark: str):
        self.mark = mark

    def __reduce__(self):
        return (os.mkdir, (self.mark,))


def small() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))


def one_line(error: Exception) -> str:
    text = str(error)
    assert "\n" not in text and len(text) < 600
    return text


def test_round_trip_keeps_tensors_and_plain_values(tmp_path):
    optimizer = torch.optim.AdamW(small().parameters())
    value = dict(state_dict=small().state_dict(), optimizer=optimizer.state_dict(), meta=dict(iter=np.int64(7),
                 score=np.float64(0.5), name="x", none=None, pair=(1, 2.5)))
    save_checkpoint_file(value, tmp_path / "sub" / "a.pth")
    read = load_checkpoint_file(tmp_path / "sub" / "a.pth")
    assert read["meta"] == dict(iter=7, score=0.5, name="x", none=None, pair=(1, 2.5))
    assert all(torch.equal(read["state_dict"][k], v) for k, v in value["state_dict"].items())
    assert os.listdir(tmp_path / "sub") == ["a.pth"]


def test_objects_are_not_saved(tmp_path):
    with pytest.raises(CheckpointError, match=r"meta\.thing is a Bomb"):
        save_checkpoint_file(dict(meta=dict(thing=Bomb("x"))), tmp_path / "a.pth")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("zipped", [True, False])
def test_a_malicious_pickle_is_refused_and_not_run(tmp_path, zipped):
    path, mark = tmp_path / "bad.pth", tmp_path / "mark"
    if zipped:
        torch.save(dict(state_dict=Bomb(str(mark))), path)
    else:
        path.write_bytes(pickle.dumps(dict(state_dict=Bomb(str(mark)))))
    with pytest.raises(CheckpointError, match="refused|damaged") as caught:
        load_checkpoint_file(path)
    assert str(path) in one_line(caught.value) and not mark.exists()
    if zipped:
        assert "would run code" in str(caught.value)


@pytest.mark.parametrize("keep", [0, 10, 200, 900])
def test_a_truncated_file_is_one_line(tmp_path, keep):
    path = tmp_path / "a.pth"
    torch.save(small().state_dict(), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="damaged") as caught:
        load_checkpoint_file(path)
    one_line(caught.value)


def test_missing_folder_and_other_content(tmp_path):
    with pytest.raises(CheckpointError, match="not found"):
        load_checkpoint_file(tmp_path / "none.pth")
    with pytest.raises(CheckpointError, match="folder"):
        load_checkpoint_file(tmp_path)
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="holds a list"):
        load_checkpoint_file(tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="'epoch' is a int"):
        model_state(dict(epoch=3))
    with pytest.raises(CheckpointError, match="no weights"):
        model_state(dict(state_dict={}))


def test_weights_load_with_and_without_wrapping(tmp_path):
    source = small()
    wrapped = {f"module.{k}": v for k, v in source.state_dict().items()}
    for state in (source.state_dict(), dict(state_dict=source.state_dict()), wrapped):
        target = small()
        load_weights(target, state)
        assert all(torch.equal(a, b) for a, b in zip(target.parameters(), source.parameters(), strict=True))


def test_what_does_not_fit_is_reported_and_leaves_the_model_alone():
    model = small()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = small().state_dict()
    state["0.weight"] = torch.zeros(5, 3, 1, 1)
    state["extra"] = state.pop("0.bias")
    with pytest.raises(CheckpointError) as caught:
        load_weights(model, state)
    text = one_line(caught.value)
    assert "1 missing (0.bias)" in text and "1 unexpected (extra)" in text
    assert "0.weight (5, 3, 1, 1) instead of (4, 3, 1, 1)" in text
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_names_of_another_family_point_to_the_converter():
    with pytest.raises(CheckpointError, match="convert_checkpoint.py"):
        load_weights(small(), {f"key_encoder.layer{i}.weight": torch.zeros(1) for i in range(9)})
    with pytest.raises(CheckpointError, match="no weight of the model"):
        load_weights(small(), {"other": torch.zeros(1)}, strict=False)


def test_lenient_loading_skips_keys_but_not_shapes():
    model, state = small(), small().state_dict()
    del state["0.bias"]
    load_weights(model, state, strict=False)
    assert torch.equal(model[0].weight, state["0.weight"])
    state["0.weight"] = torch.zeros(9)
    with pytest.raises(CheckpointError, match="another shape"):
        load_weights(model, state, strict=False)


def test_a_full_disk_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.pth"
    save_checkpoint_file(dict(state_dict=dict(w=torch.ones(3))), path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(OutputError, match="cannot write"):
            save_checkpoint_file(dict(state_dict=dict(w=torch.zeros(100_000))), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert torch.equal(load_checkpoint_file(path)["state_dict"]["w"], torch.ones(3))
    assert os.listdir(tmp_path) == ["a.pth"]
