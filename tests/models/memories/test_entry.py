"""Entries of named tensors."""

import pytest
import torch

from vosplug.models.memories import MemoryEntry, joined
from vosplug.utils.errors import InputError

VALID = torch.tensor([[True, False, True], [True, True, False]])


def entry(frame=4, valid=VALID, **tensors):
    frames = {"key": torch.randn(2, 4, 6), **tensors}
    return MemoryEntry(frame, frames, {"value": torch.randn(2, 3, 5, 6), "mask": torch.rand(2, 3, 6)}, valid=valid)


def test_tensors_are_read_by_name_whoever_they_belong_to():
    one = entry(shrinkage=torch.ones(2, 1, 6))
    assert one["key"] is one.frame_tensors["key"] and one["value"] is one.object_tensors["value"]
    assert "shrinkage" in one and "mask" in one and "selection" not in one
    assert (one.tokens, one.objects, one.prompted, one.grid) == (6, 3, False, None)
    with pytest.raises(InputError, match="frame 4 has no tensor 'selection', only key, shrinkage, value, mask"):
        one["selection"]


def test_dropping_objects_leaves_what_belongs_to_the_frame():
    one = entry()
    before = dict(one.object_tensors), one["key"]
    one.keep_objects(torch.tensor([0, 2, 7]))
    assert one["key"] is before[1] and one.valid.tolist() == [[True, True], [True, False]] and one.objects == 2
    assert all(torch.equal(one[name], x[:, [0, 2]]) for name, x in before[0].items())


def test_an_entry_may_have_no_tensors_per_object_or_those_of_several_layers():
    labels = torch.zeros(2, 6, dtype=torch.long)
    features = MemoryEntry(0, {"feature": torch.zeros(2, 8, 6), "label": labels}, valid=VALID)
    features.keep_objects(torch.tensor([1]))
    assert features.tokens == 6 and features.valid.tolist() == [[False], [True]]
    layers = {f"{name}{i}": torch.zeros(2, 8, 6) for i in range(3) for name in "kv"}
    assert MemoryEntry(0, layers, valid=VALID)["v2"].shape == (2, 8, 6)
    assert MemoryEntry(0, {}, {"value": torch.zeros(2, 3, 7)}, valid=VALID).tokens == 7


@pytest.mark.parametrize("frames, objects, message", [
    ({"key": torch.zeros(2, 4, 6)}, {"value": torch.zeros(2, 3, 5, 7)}, r"'value' .* must be \(2, 3, ..., 6\)"),
    ({"key": torch.zeros(2, 4, 6)}, {"value": torch.zeros(2, 2, 5, 6)}, r"must be \(2, 3, ..., 6\), got \(2, 2, 5,"),
    ({"key": torch.zeros(1, 4, 6)}, {}, r"'key' .* must be \(2, ..., 6\), got \(1, 4, 6\)"),
    ({"key": torch.zeros(2, 4, 6)}, {"key": torch.zeros(2, 3, 6)}, "different names"),
    ({}, {}, "needs tensors")])
def test_tensors_that_do_not_fit_are_refused(frames, objects, message):
    with pytest.raises(InputError, match=message):
        MemoryEntry(4, frames, objects, valid=VALID)


def test_values_by_token_are_laid_out_once():
    one = entry()
    value = one["value"].clone()
    table = one.by_token("value")
    assert table.is_contiguous() and torch.equal(table, value.permute(0, 3, 1, 2))
    assert torch.equal(one["value"], value) and one["value"].data_ptr() == table.data_ptr()
    assert one.by_token("value").data_ptr() == table.data_ptr()


def test_entries_are_joined_by_what_all_of_them_have():
    ones = torch.ones(2, 1, 6)
    first, second = entry(shrinkage=ones, selection=torch.rand(2, 4, 6)), entry(shrinkage=ones)
    whole = joined([first, second])
    assert set(whole) == {"key", "shrinkage"} and whole["shrinkage"].shape == (2, 1, 12)
    assert torch.equal(whole["key"], torch.cat([first["key"], second["key"]], dim=-1))
    assert set(joined([first, second], ("key", "selection"))) == {"key"}
