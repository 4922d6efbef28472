"""The rule that makes weights, and the comparison of tensors."""

import importlib.util
import json
import zlib

import numpy as np
import pytest

from vosplug.parity import compare
from vosplug.parity.fill import checksum, fill_state_dict, fill_tensor

TOLERANCE = {"max_abs": 1e-3, "max_rel_to_peak": 1e-4}


def test_weights_are_a_function_of_name_and_shape():
    first, second = fill_tensor("a.weight", (4, 3)), fill_tensor("b.weight", (4, 3))
    assert np.array_equal(first, fill_tensor("a.weight", (4, 3))) and not np.array_equal(first, second)
    expected = np.random.RandomState(zlib.crc32(b"a.weight")).standard_normal((4, 3)) / np.sqrt(3)  # noqa: NPY002
    assert np.array_equal(first, expected.astype(np.float32))


@pytest.mark.parametrize("name, low, high, mean", [
    ("x.running_var", 0.5, 1.5, 1.0), ("x.running_mean", -0.6, 0.6, 0.0), ("x.weight", 0.4, 1.6, 1.0),
    ("x.bias", -0.3, 0.3, 0.0)])
def test_kinds_of_vectors(name, low, high, mean):
    values = fill_tensor(name, (2000,), gain=100.0)  # gains are for matrices
    assert values.min() > low and values.max() < high and abs(values.mean() - mean) < 0.02
    assert fill_tensor("x.num_batches_tracked", ()).dtype == np.int64


def test_gains_multiply_and_offsets_add():
    shapes = {"a.b.weight": (2, 8), "a.bias": (3,), "c.weight": (2, 8)}
    plain = fill_state_dict(shapes)
    state = fill_state_dict(shapes, [["a.", 2.0], ["a.b.", 3.0]], [["a.", 1.0], ["a.bi", 0.5]])
    assert np.allclose(state["a.b.weight"], plain["a.b.weight"] * 6 + 1, atol=1e-6)
    assert np.allclose(state["a.bias"], plain["a.bias"] + 1.5) and np.array_equal(state["c.weight"], plain["c.weight"])


def test_checksum_sees_names_and_values_but_not_their_order():
    state = {"b": np.ones(3, np.float32), "a": np.zeros(2, np.int64)}
    crc = zlib.crc32(np.zeros(2, "<i8").tobytes(), zlib.crc32(b"a"))
    crc = zlib.crc32(np.ones(3, "<f4").tobytes(), zlib.crc32(b"b", crc))
    assert checksum(state) == checksum(dict(reversed(state.items()))) == f"{crc:08x}"
    assert checksum({**state, "b": np.array([1, 1, 2], np.float32)}) != checksum(state)
    assert checksum({"c": state["b"], "a": state["a"]}) != checksum(state)


@pytest.mark.shared
def test_rule_is_that_of_the_reference(shared):
    spec = importlib.util.spec_from_file_location("golden_fill", shared / "golden" / "fill.py")
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    gains, offsets = [["x.", 0.5], ["x.y.", 3.0]], [["x.y", -1.8]]
    shapes = {"x.y.weight": [4, 3, 3, 3], "x.y.bias": [4], "x.bn.running_var": [4], "x.bn.running_mean": [4],
              "x.bn.num_batches_tracked": [], "z.weight": [5], "x.z": [2, 2]}
    ours, theirs = fill_state_dict(shapes, gains, offsets), reference.fill_state_dict(shapes, gains, offsets)
    assert all(np.array_equal(ours[name], theirs[name]) and ours[name].dtype == theirs[name].dtype for name in shapes)
    assert checksum(ours) == reference.checksum(theirs)


@pytest.mark.shared
def test_checksum_of_a_published_manifest(shared):
    manifest = json.loads((shared / "golden" / "aott_2obj.json").read_text())  # the smallest model
    fill = manifest["fill"]
    assert checksum(fill_state_dict(manifest["state_dict"], fill["gains"], fill["offsets"])) == fill["checksum"]


class TestCompare:
    """A row passes if the tensor is within either bound."""

    stored = np.array([[100.0, -3.0]], np.float32)

    def test_agreement(self):
        row = compare("x", self.stored.astype(np.float64), self.stored, TOLERANCE)
        assert (row.fault, row.max_abs, row.relative, row.shape) == ("", 0, 0, (1, 2))

    @pytest.mark.parametrize("difference, passes", [(0.0009, True), (0.009, True), (0.02, False), (-0.02, False)])
    def test_either_bound_suffices(self, difference, passes):
        ours = self.stored.astype(np.float64) + [[0, difference]]
        row = compare("x", ours, self.stored, TOLERANCE)
        assert (row.fault == "") == passes and row.max_abs == pytest.approx(abs(difference), rel=1e-4)
        assert row.relative == pytest.approx(abs(difference) / 100, rel=1e-4)

    def test_the_absolute_bound_alone(self):
        small = np.array([1e-6])
        assert not compare("x", np.array([5e-4]), small, TOLERANCE).fault
        assert compare("x", np.array([2e-3]), small, TOLERANCE).fault == "outside the tolerance"

    def test_missing_and_misshapen(self):
        assert compare("x", None, self.stored, TOLERANCE).fault == "not computed"
        row = compare("x", self.stored[0], self.stored, TOLERANCE)
        assert row.fault == "shape (2,), expected (1, 2)"

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_values_that_are_not_finite(self, value):
        assert "not finite" in compare("x", np.array([[100.0, value]]), self.stored, TOLERANCE).fault
        assert compare("x", self.stored, np.array([[100.0, value]]), TOLERANCE).fault == "outside the tolerance"

    @pytest.mark.parametrize("ours, differing", [([1, 2, 3], 0), ([1, 2, 4], 1), ([1.0, 2.5, 3.0], 1),
                                                 ([257, 2, 3], 1), ([np.nan, 2, 3], 1)])
    def test_labels_have_to_be_identical(self, ours, differing):
        row = compare("x", np.array(ours), np.array([1, 2, 3], np.uint8), {"max_abs": 9, "max_rel_to_peak": 9})
        assert row.max_abs == differing and bool(row.fault) == bool(differing)
        if differing:
            assert row.fault == "1 of 3 elements differ"

    def test_empty_tensors(self):
        assert not compare("x", np.zeros((0, 2)), np.zeros((0, 2)), TOLERANCE).fault
