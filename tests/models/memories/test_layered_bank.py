"""LayeredBank: long-term frames by gap, the last frame beside them, rows that come late, go, or are left out."""

import pytest
import torch

from vosplug.models.memories import FrameBank, LayeredBank
from vosplug.structures import Rows
from vosplug.utils.errors import ConfigError

GRID, LAYERS = (2, 3), 2


def rows_of(*exists):
    """Rows of a (B, S) table, in the order of the table."""
    table = torch.tensor(exists, dtype=torch.bool)
    return Rows.of_table(table, [f"group {n}" for n in range(table.shape[1])])


def tokens_of(frame, rows):
    """Keys (R, 6, 4) and values (R, 6, 8) of each layer: 100 frame + 10 layer + column (+ 0.5 in values)."""
    base = 100.0 * frame + rows.slot.view(-1, 1, 1) + 1000 * rows.batch.view(-1, 1, 1)
    return [(base.expand(-1, 6, 4) + 10 * n, base.expand(-1, 6, 8) + 10 * n + 0.5) for n in range(LAYERS)]


def write(memory, frame, rows, prompted=False):
    assert memory.wants(frame, prompted=prompted, last=False)
    memory.write(frame, rows, tokens_of(frame, rows), grid=GRID, prompted=prompted)


def read(memory, rows):
    """Row -> (frames of long-term memory, frame of short-term memory), with all layers checked."""
    found = {}
    for members, long_term, short_term in memory.read(rows):
        assert len(long_term) == len(short_term) == LAYERS
        for place, number in enumerate(members.tolist()):
            offset = int(rows.slot[number]) + 1000 * int(rows.batch[number])
            for layer in range(LAYERS):
                for key, value in [*long_term[layer], short_term[layer]]:
                    assert key.shape[1:] == (6, 4) and value.shape[1:] == (6, 8)
                    assert torch.equal(value[place], key[place, :, :1].expand(6, 8) + 0.5)
            frames = [int((key[place, 0, 0] - offset) // 100) for key, _ in long_term[0]]
            assert frames == [int((key[place, 0, 0] - offset - 10) // 100) for key, _ in long_term[1]]
            found[rows.keys[number]] = frames, int((short_term[0][0][place, 0, 0] - offset) // 100)
    return found


def frames(memory):
    return [entry.frame for entry in memory.kept]


@pytest.mark.parametrize("gap, kept", [(2, [0, 2, 3, 5, 7]), (9999, [0, 3]), (5, [0, 3]), (1, list(range(8)))])
def test_the_gap_counts_from_the_last_long_term_frame_prompts_included(gap, kept):
    memory, rows = LayeredBank(gap=gap).new(), rows_of([True])
    for t in range(8):
        write(memory, t, rows, prompted=t in (0, 3))
        assert memory.latest.frame == t
        assert read(memory, rows) == {(0, "group 0"): ([f for f in kept if f <= t], t)}
    assert frames(memory) == kept


def test_training_clips_have_a_gap_of_their_own():
    memory, rows = LayeredBank(gap=5, train_gap=2).new(training=True), rows_of([True], [True])
    for t in range(5):
        write(memory, t, rows, prompted=t == 0)
    assert read(memory, rows) == {(b, "group 0"): ([0, 2, 4], 4) for b in (0, 1)}


def test_prompts_may_be_short_term_only():
    memory, rows = LayeredBank(gap=4, prompts_to_long_term=False).new(), rows_of([True])
    for t in range(6):
        write(memory, t, rows, prompted=t in (0, 2))
    assert frames(memory) == [0, 4]


def test_a_late_group_reads_what_there_is_of_it():
    memory, one, two = LayeredBank(gap=2).new(), rows_of([True]), rows_of([True, True])
    for t in range(3):
        write(memory, t, one, prompted=t == 0)
    write(memory, 3, two, prompted=True)
    write(memory, 4, two)
    write(memory, 5, two)
    assert read(memory, two) == {(0, "group 0"): ([0, 2, 3, 5], 5), (0, "group 1"): ([3, 5], 5)}
    assert [members.tolist() for members, _, _ in memory.read(two)] == [[0], [1]]
    assert read(memory, two.select([False, True])) == {(0, "group 1"): ([3, 5], 5)}


def test_a_late_group_without_long_term_frames_reads_the_last_frame():
    memory, one, two = LayeredBank(gap=9999, prompts_to_long_term=False).new(), rows_of([True]), rows_of([True, True])
    write(memory, 0, one, prompted=True)
    write(memory, 1, two, prompted=True)
    assert read(memory, two) == {(0, "group 0"): ([0], 1), (0, "group 1"): ([1], 1)}


def test_rows_with_equal_memories_come_together():
    memory, rows = LayeredBank().new(), rows_of([True, True, True])
    write(memory, 0, rows, prompted=True)
    (members, long_term, short_term), = memory.read(rows)
    assert members.tolist() == [0, 1, 2]
    held = memory.kept[0]["v1"]
    assert long_term[0][0][0].data_ptr() == memory.kept[0]["k0"].data_ptr()  # views, no copies
    assert short_term[1][1].data_ptr() == held.data_ptr()


def test_rows_that_a_gate_left_out_keep_their_last_frame():
    memory, rows = LayeredBank(gap=9999).new(), rows_of([True, True])
    write(memory, 0, rows, prompted=True)
    for t in (1, 2):
        write(memory, t, rows.select([True, False]))
    assert read(memory, rows) == {(0, "group 0"): ([0], 2), (0, "group 1"): ([0], 0)}
    write(memory, 3, rows.select([False, True]))
    assert read(memory, rows) == {(0, "group 0"): ([0], 2), (0, "group 1"): ([0], 3)}
    assert [entry.frame for entry in memory.recent] == [3, 2]
    write(memory, 4, rows)
    assert [entry.frame for entry in memory.recent] == [4]


def test_a_group_goes_with_what_was_kept_of_it():
    memory, one, two = LayeredBank(gap=9999).new(), rows_of([True, False]), rows_of([True, True])
    write(memory, 0, one, prompted=True)
    write(memory, 1, two, prompted=True)
    write(memory, 2, two)
    memory.keep_objects(torch.tensor([1]))
    left = rows_of([True])
    assert frames(memory) == [1] and memory.latest.frame == 2
    (_, long_term, short_term), = memory.read(left)
    assert [key[0, 0, 0] for key, _ in long_term[0]] == [101] and short_term[0][0][0, 0, 0] == 201
    memory.keep_objects(torch.tensor([], dtype=torch.long))
    assert memory.tokens == 0 and memory.latest is None and memory.recent == []


def test_videos_of_a_batch_have_their_own_groups():
    memory, rows = LayeredBank().new(), rows_of([True, True], [True, False])
    write(memory, 0, rows, prompted=True)
    assert read(memory, rows) == {key: ([0], 0) for key in rows.keys}


def test_the_budget_is_kept_and_the_default_holds_39_frames_of_480p():
    memory, rows = LayeredBank(gap=1, max_tokens=24).new(), rows_of([True])
    for t in range(9):
        write(memory, t, rows, prompted=t == 0)
        assert memory.tokens <= 24 and frames(memory)[0] == 0 and memory.latest.frame == t
    assert frames(memory) == [0, 6, 7, 8]
    assert LayeredBank().max_tokens // (31 * 54) == 39
    assert LayeredBank(max_tokens=None).max_tokens is None


def test_what_only_recent_frames_are_asked_for_goes_with_the_next_frame():
    memory, rows = LayeredBank(gap=1).new(), rows_of([True, True])
    for t in range(3):
        layers = [(x, *pair) for x, pair in zip(torch.full((12, 2, 6, 3), float(t)), tokens_of(t, rows), strict=False)]
        memory.write(t, rows, layers, grid=GRID, prompted=t == 0, names=("x", "k", "v"), recent_only=("k", "v"))
    (_, long_term, short_term), = memory.read(rows)
    assert [len(frame) for layer in long_term for frame in layer] == [1, 1, 3] * LAYERS
    assert [[int(frame[0][0, 0, 0]) for frame in layer] for layer in long_term] == [[0, 1, 2]] * LAYERS
    assert [[x.shape[-1] for x in layer] for layer in short_term] == [[3, 4, 8]] * LAYERS
    assert list(memory.kept[0].object_tensors) == ["x0", "x1"] and memory.kept[0].tokens == 6


def test_rows_that_a_gate_left_out_keep_what_only_recent_frames_are_asked_for():
    memory, rows = LayeredBank(gap=1).new(), rows_of([True, True])
    for t, own in ((0, rows), (1, rows.select([True, False]))):
        memory.write(t, own, tokens_of(t, own), grid=GRID, prompted=t == 0, recent_only=("v",))
    assert "v0" in memory.kept[0]
    memory.write(2, rows, tokens_of(2, rows), grid=GRID, prompted=False, recent_only=("v",))
    assert "v0" not in memory.kept[0] and "k0" in memory.kept[0]


def test_a_frame_of_deaot_l_is_22_mib_at_480p():
    cells = 31 * 54
    memory, rows = LayeredBank().new(), rows_of([True])
    layers = [(torch.zeros(1, cells, 128), torch.zeros(1, cells, 1024))] * 3
    memory.write(0, rows, layers, grid=(31, 54), prompted=True)
    size = sum(x.numel() * x.element_size() for x in memory.kept[0].object_tensors.values())
    assert size / 2**20 == pytest.approx(22.1, abs=0.05)


def test_it_is_a_frame_bank():
    bank = LayeredBank(gap=5, train_gap=2)
    assert isinstance(bank, FrameBank) and bank.every == 5 and bank.since == "kept" and bank.include_last
    with pytest.raises(ConfigError, match="must be a whole number of at least 1 or None, got 0"):
        LayeredBank(gap=0)
