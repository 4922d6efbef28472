"""Rows of object-wise networks, and tensors that follow them."""

import pytest
import torch

from vosplug.structures import Rows, RowStore

TABLES = {"full": [[True, True, True], [True, True, True]], "ragged": [[True, False, True], [False, True, False]],
          "one_video": [[True, False, True]], "one_object": [[True], [True]], "one_of_one": [[True]],
          "one_missing": [[True], [False]], "none": [[False, False]]}


def rows_of(table, names=None):
    table = torch.tensor(table)
    return Rows.of_table(table, names or [10 + slot for slot in range(table.shape[1])])


class TestRows:
    """Gathering and scattering of the cells that exist."""

    @pytest.mark.parametrize("name", TABLES)
    def test_gather_expand_and_scatter_against_loops(self, name):
        exists = torch.tensor(TABLES[name])
        rows = rows_of(TABLES[name])
        cells = [(b, s) for b in range(exists.shape[0]) for s in range(exists.shape[1]) if exists[b, s]]
        assert list(zip(rows.batch.tolist(), rows.slot.tolist(), strict=True)) == cells
        assert rows.keys == tuple((b, 10 + s) for b, s in cells)
        assert len(rows) == len(cells) and rows.shape == tuple(exists.shape)
        assert rows.full == all(v for row in TABLES[name] for v in row)
        assert torch.equal(rows.table(), exists)

        x = torch.arange(exists.numel() * 2.0).view(*exists.shape, 2)
        gathered = rows.gather(x)
        assert gathered.tolist() == [x[b, s].tolist() for b, s in cells]
        frames = torch.arange(exists.shape[0] * 2.0).view(-1, 2)
        assert rows.expand(frames).tolist() == [frames[b].tolist() for b, _ in cells]

        scattered = rows.scatter(gathered, fill=-9)
        assert scattered.shape == x.shape
        for b in range(exists.shape[0]):
            for s in range(exists.shape[1]):
                assert scattered[b, s].tolist() == (x[b, s].tolist() if exists[b, s] else [-9, -9])

    def test_gradients_go_to_existing_rows_only(self):
        rows = rows_of(TABLES["ragged"])
        x = torch.ones(2, 3, 1, requires_grad=True)
        rows.scatter(rows.gather(x) * 2).sum().backward()
        assert x.grad[..., 0].tolist() == [[2, 0, 2], [0, 2, 0]]

    def test_a_subset_is_of_the_same_table(self):
        rows = rows_of(TABLES["full"])
        subset = rows.select([True, False, True, False, False, True])
        assert subset.keys == ((0, 10), (0, 12), (1, 12)) and subset.shape == (2, 3) and not subset.full
        assert rows.select([True] * 6) is rows and len(rows.select([False] * 6)) == 0
        assert rows.having({(1, 11), (0, 10), (5, 5)}).keys == ((0, 10), (1, 11))
        x = torch.arange(6.0).view(2, 3)
        assert subset.gather(x).tolist() == [0, 2, 5]
        assert subset.scatter(torch.tensor([7.0, 8, 9])).tolist() == [[7, 0, 8], [0, 0, 9]]

    def test_places_of_other_rows(self):
        rows = rows_of(TABLES["full"])
        assert rows.places(rows.having({(1, 10), (0, 12)})).tolist() == [2, 3]
        with pytest.raises(KeyError):
            rows.having({(0, 10)}).places(rows)


class TestRowStore:
    """What is kept of rows is found by their keys."""

    def test_rows_come_and_go_in_any_order(self):
        store, both = RowStore(), rows_of([[True, True]])
        store.write("x", both, torch.tensor([[1.0], [2.0]]))
        assert store.read("x", both).tolist() == [[1], [2]]
        swapped = rows_of([[True, True]], [11, 10])
        assert store.read("x", swapped).tolist() == [[2], [1]]
        more = rows_of([[True, True, True]])
        assert store.has("x", more).tolist() == [True, True, False]
        assert store.read("x", more, torch.zeros(1)).tolist() == [[1], [2], [0]]
        with pytest.raises(KeyError, match=r"x of \(0, 12\) was never written"):
            store.read("x", more)

    def test_a_subset_is_written_and_the_others_keep_theirs(self):
        store, rows = RowStore(), rows_of([[True, True, True]])
        store.write("x", rows, torch.tensor([1.0, 2, 3]))
        store.write("x", rows.having({(0, 11)}), torch.tensor([9.0]))
        assert store.read("x", rows).tolist() == [1, 9, 3]

    def test_removed_rows_are_forgotten(self):
        store, rows = RowStore(), rows_of([[True, True], [True, True]])
        store.write("x", rows, torch.arange(4.0))
        store.drop({(0, 10), (1, 10)})
        assert store.has("x", rows).tolist() == [False, True, False, True]
        assert store.read("x", rows.having({(0, 11), (1, 11)})).tolist() == [1, 3]
        store.drop({(0, 11), (1, 11)})
        assert "x" not in store

    def test_what_was_never_written_is_the_default(self):
        store, rows = RowStore(), rows_of([[True, True]])
        assert store.read("x", rows, torch.full((2, 3), 4.0)).tolist() == [[[4] * 3] * 2] * 2
        assert not store.has("x", rows).any()
        with pytest.raises(KeyError):
            store.read("x", rows)
