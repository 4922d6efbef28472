"""TTVOSDecoder: sizes, rows, masks at half their size, the share of a new template."""

import pytest
import torch

from tests.contracts.parts import rows_of
from vosplug.models.decoders import TTVOSDecoder
from vosplug.models.decoders.ttvos_decoder import halved
from vosplug.structures import Level

LEVELS = {"c2": Level(6, 4), "c3": Level(8, 8), "c4": Level(12, 16)}


def decoder(**options):
    torch.manual_seed(0)
    return TTVOSDecoder(LEVELS, "c4", "c2", attended_channels=8, mask_channels=6, **options).double().eval()


def inputs(rows):
    draw = torch.Generator().manual_seed(1)
    return [torch.randn(rows, c, 2 * s, 3 * s, generator=draw, dtype=torch.float64)
            for c, s in ((12, 1), (6, 2), (12, 1), (8, 2))]


def test_halved_masks_are_means_with_zeros_outside():
    mask = torch.ones(1, 1, 4, 4, dtype=torch.float64)
    assert halved(mask).flatten().tolist() == pytest.approx([4 / 9, 6 / 9, 6 / 9, 1])
    assert torch.equal(halved(mask, times=2), halved(halved(mask)))


@torch.no_grad()
def test_logits_have_the_size_of_the_frame_and_rows_are_independent():
    module, (deep, masks, previous, attended) = decoder(), inputs(3)
    rows, low = rows_of([[True, True], [False, True]]), torch.randn(2, 6, 8, 12, dtype=torch.float64)
    coarse = module.coarse(deep, masks, previous)
    logits, joined, x8 = module.fine(coarse, attended, low, rows)
    assert coarse.shape == (3, module.out_channels, 2, 3) and logits.shape == (3, 2, 32, 48)
    assert joined.shape == (3, module.out_channels + 2, 4, 6) and x8.shape == (3, module.out_channels, 4, 6)
    assert module.transition(x8).shape == (3, 2, 4, 6) and module.template_mask(attended).shape == (3, 1, 4, 6)
    last = rows.select([False, False, True])
    alone = module.fine(module.coarse(deep[2:], masks[2:], previous[2:]), attended[2:], low, last)
    assert all(torch.allclose(a[0], b[2], atol=1e-12) for a, b in zip(alone, (logits, joined, x8), strict=True))


@torch.no_grad()
def test_the_share_of_a_new_template_is_one_number_for_each_row():
    module, joined = decoder(), torch.randn(3, 8, 4, 6, dtype=torch.float64)
    share = module.share(joined)
    x = torch.relu(module.share_in(joined)).mean(dim=(2, 3))
    expected = torch.sigmoid(x @ module.share_out.weight.flatten(1).T + module.share_out.bias)
    assert share.shape == (3, 1, 1) and torch.allclose(share.flatten(), expected.flatten())


def test_channels_follow_the_low_level_up_to_128():
    assert decoder().out_channels == 6 and decoder(channels=4).out_channels == 4
    wide = {**LEVELS, "c2": Level(256, 4), "c4": Level(1024, 16)}
    with torch.device("meta"):
        module = TTVOSDecoder(wide, "c4", "c2", attended_channels=512, mask_channels=6)
    assert module.out_channels == 128 and module.short_term.weight.shape == (256, 1030, 3, 3)
