"""What parts must do that treat the background as one object more: as a slot."""

import copy

import pytest
import torch

from vosplug.models.memories import MemoryEntry
from vosplug.models.segmentors.slot_base import BACKGROUND, SlotSegmentor
from vosplug.registry import DECODERS, ENCODERS, MATCHING_HEADS, NECKS, SEGMENTORS

from .helpers import build_model
from .parts import FRAME, LEVELS, cases, pyramid_of, rows_of
from .test_mixtures import after, stages

ODD_FRAME = (37, 51)


@pytest.mark.parametrize("frame", [FRAME, ODD_FRAME], ids=["even", "odd"])
@pytest.mark.parametrize("part", cases(NECKS, "joined"))
def test_joining_necks_give_one_map_at_the_stride_of_the_fine_level(part, frame):
    neck, pyramid = part.build(), pyramid_of(2, frame=frame)
    out = neck(pyramid)
    assert neck.stride == LEVELS[neck.low_level].stride
    assert out.shape == (2, neck.out_channels, *pyramid[neck.low_level].shape[-2:])
    out.square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in neck.parameters())


@pytest.mark.parametrize("part", cases(ENCODERS, "pixels"))
def test_pixel_embeddings_publish_their_channels(part):
    encoder = part.build()
    features = encoder(torch.randn(2, 3, *FRAME))
    grid = tuple(s // encoder.stride for s in FRAME)
    assert features.embedding.shape == (2, encoder.out_channels, *grid) and (features.embedding >= 0).all()
    fine = tuple(s // LEVELS[encoder.low_level].stride for s in FRAME)
    assert features.pyramid[encoder.low_level].shape == (2, encoder.low_channels, *fine)
    assert encoder.deep(features) is features


@pytest.mark.parametrize("part", cases(MATCHING_HEADS, "slots"))
def test_matching_of_slots_gives_one_where_a_slot_has_no_cell(part):
    head, grid = part.build(channels=4), (6, 8)
    x, before = torch.rand(2, 4, *grid), torch.rand(2, 4, *grid)
    slots = torch.randint(-1, 2, (2, *grid))
    reference = (torch.rand(2, 4, 48), torch.randint(-1, 2, (2, 48)))
    matches = head(x, [reference, reference], before, slots, 3)
    assert matches.shape == (2, 3, head.out_channels, *grid) and torch.isfinite(matches).all()
    values = matches[:, :, : 1 + len(head.windows)]
    assert ((values >= 0) & (values <= 1)).all() and (values[:, :2] < 0.99).any()
    assert torch.allclose(values[:, 2], torch.ones(()))
    assert torch.equal(matches[:, 1, 1 + len(head.windows)], (slots == 1).float())


def buffer_of(head, grid, frames=(0, 2, 5)):
    """Frames in a buffer, as the head wants them, and the slot of each of their cells."""
    names = {"k0": 8, "v0": 8} if head.cache == "layers" else {"embedding": 8}
    entries = [MemoryEntry(frame, {name: torch.randn(2, c, grid[0] * grid[1]) for name, c in names.items()},
                           valid=torch.ones(2, 1, dtype=torch.bool), grid=grid) for frame in frames]
    return entries, [torch.randint(-1, 2, (2, grid[0] * grid[1])) for _ in entries]


@pytest.mark.parametrize("part", cases(MATCHING_HEADS, "buffer"))
def test_encoders_of_buffers_publish_their_channels_and_say_what_they_keep(part):
    head, size = part.build(channels=8).eval(), (6, 8)
    grid = (4, 5) if head.downsample == 2 else size
    entries, slots = buffer_of(head, grid)
    x, before = torch.randn(2, 8, *size), torch.randint(-1, 2, (2, *size))
    encoded = head(x, entries, slots, before, 7, 3)
    assert encoded.features.shape == x.shape and encoded.matches.shape == (2, 3, head.out_channels, *size)
    assert encoded.kept.keys() == entries[0].frame_tensors.keys()
    assert all(encoded.kept[name].shape == tensor.shape for name, tensor in entries[0].frame_tensors.items())
    assert torch.equal(encoded.matches[:, :, -1], (before[:, None] == torch.arange(3)[:, None, None]).float())
    per_layer = (head.out_channels - 1) // 2
    assert per_layer == 0 or (encoded.matches[:, 2, :per_layer] == 0).all()  # of slot 2 there is no cell
    assert per_layer == 0 or encoded.matches[:, 0, :per_layer].any()
    first = head(x, [], [], before, 0, 3)
    assert first.features.shape == x.shape and not first.matches[:, :, :-1].any()


@pytest.mark.parametrize("part", cases(DECODERS, "slots"))
def test_decoders_of_slots_give_two_logits_per_row_whatever_their_number(part):
    decoder = part.build(match_channels=5, map_channels=6, vector_channels=9, low_channels=3).eval()
    x = torch.cat([torch.randn(5, 6, 9, 13), decoder.prehead(torch.rand(5, 5, 9, 13))], dim=1)
    low, vector = torch.rand(2, 3, 9, 13), torch.rand(5, 9)
    table = [[True, True, False], [True, True, True]]
    with torch.no_grad():
        five = decoder(x, vector, low, rows_of(table))
        one = decoder(x[4:], vector[4:], low[1:], rows_of([[True]]))
        finer = decoder(x, vector, torch.rand(2, 3, 17, 25), rows_of(table))
    assert five.shape == (5, 2, 9, 13) and torch.allclose(five[4:], one, atol=1e-4)
    assert finer.shape == (5, 2, 17, 25)


@pytest.mark.parametrize("chosen", [[True, False, True, False], [False, True, True, True]], ids=["some", "objects"])
@pytest.mark.parametrize("part", cases(SEGMENTORS, role=None, of=SlotSegmentor))
def test_slots_are_decoded_alike_whichever_others_are_asked_for(part, chosen):
    model = build_model(part.config)
    state, x = after(model, 4)
    assert model.rows(state).keys == ((0, BACKGROUND), (0, 4), (0, 2), (0, 7))
    everything, _, _ = stages(model, copy.deepcopy(state), x, [True] * 4)
    logits, rows, _ = stages(model, state, x, chosen)
    assert len(rows) == sum(chosen) and torch.allclose(logits, everything[chosen], atol=1e-4)
    state.frame_index += 1
    with torch.no_grad():
        assert torch.isfinite(model.step(state, x).logits).all()
