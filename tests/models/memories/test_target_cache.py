"""Target models on disk: used again where nothing has changed, and only there."""

import logging

import pytest
import torch

from tests.contracts.helpers import boxes, build_model, random_frames, track
from vosplug.models.memories import TargetModel
from vosplug.registry import SEGMENTORS
from vosplug.utils.checkpoint import load_checkpoint_file, save_checkpoint_file
from vosplug.utils.errors import CheckpointError, OutputError

SIZE = (40, 56)


def frtm(folder, **options):
    """A tiny FRTM whose target models are kept in a folder."""
    settings = SEGMENTORS.example("FRTM")
    settings["memory"].update(cache_dir=str(folder), **options)
    return build_model(settings)


def run(model, seed=0):
    """Masks of a short video of two objects, its last logits, and how many target models were found."""
    before = model.memory.cache.found
    outputs = track(model, random_frames(5, SIZE, seed), {0: ((1, 2), boxes(2, SIZE))})
    return torch.stack([x.argmax(dim=1) for x in outputs]), outputs[-1], model.memory.cache.found - before


def test_found_models_are_those_that_were_learnt(tmp_path, caplog):
    model = frtm(tmp_path)
    with caplog.at_level(logging.INFO, logger="vosplug"):
        masks, logits, found = run(model)
        again, same, hits = run(model)
    assert (found, hits) == (0, 2) and len(list(tmp_path.rglob("*.pth"))) == 2
    assert torch.equal(masks, again) and torch.equal(logits, same)  # updates go on from the same samples
    assert run(frtm(tmp_path))[2] == 2  # another process would find them too
    assert "target models: 0 of 1 found in" in caplog.text
    plain = build_model(SEGMENTORS.example("FRTM"))
    assert torch.equal(track(plain, random_frames(5, SIZE, 0), {0: ((1, 2), boxes(2, SIZE))})[-1], logits)


@pytest.mark.parametrize("change", ["options", "weights", "frame", "object"])
def test_what_has_changed_is_learnt_again(tmp_path, change):
    model = frtm(tmp_path)
    run(model)
    if change == "options":
        assert run(frtm(tmp_path, init_iters=(3, 2)))[2] == 0
    elif change == "weights":
        next(model.backbone.parameters()).data.mul_(1.01)
        assert run(model)[2] == 0
    elif change == "frame":
        assert run(model, seed=1)[2] == 0
    else:
        track(model, random_frames(5, SIZE, 0), {0: ((3, 2), boxes(2, SIZE))})
        assert model.memory.cache.found == 1  # random numbers depend on the object


def test_training_has_entries_of_its_own(tmp_path):
    policy = TargetModel(augmentation=dict(type="FixedSamples"), cache_dir=str(tmp_path), train=dict(channels=8))
    assert policy.for_training.cache.options != policy.cache.options
    assert policy.for_training.cache.folder == policy.cache.folder


def test_faults_are_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cache_dir .* cannot be written"):
        frtm(tmp_path / "file")
    model = frtm(tmp_path / "cache")
    run(model)
    path = sorted((tmp_path / "cache").rglob("*.pth"))[0]
    save_checkpoint_file({**load_checkpoint_file(path), "key": "another"}, path)
    with pytest.raises(CheckpointError, match="is stale or was renamed; delete it"):
        run(model)
    path.write_bytes(b"half a file")
    with pytest.raises(CheckpointError, match=path.name):
        run(model)
