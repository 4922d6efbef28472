"""Matching of CFBI: against all pairs, in blocks, and what it costs."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from vosplug.models.layers.halving import halved, halved_labels, nearest_labels
from vosplug.models.matching_heads import GlobalLocalMatching
from vosplug.models.matching_heads.nearest import nearest
from vosplug.models.matching_heads.slot_values import best_of_others
from vosplug.utils.errors import ConfigError


def value(distance, bias):
    """2 (sigmoid(d + b) - 1/2)."""
    return 2 * (torch.sigmoid(distance + bias) - 0.5)


def all_pairs(head, x, references, before, slots, count):
    """Every distance of every pair, (B, S, 1 + windows, h, w)."""
    batch, channels, height, width = x.shape
    bias = [head.background_bias, *[head.object_bias] * (count - 1)]
    found = x.new_ones(batch, count, 1 + len(head.windows), height, width)
    step, small = head.global_stride, halved if head.downsample == 2 else lambda y: y
    taken = torch.zeros(height, width, dtype=torch.bool)
    taken[::step, ::step] = True
    query, keys = small(x), small(before)
    labels = halved_labels(slots) if head.downsample == 2 else slots
    rows, columns = (c.flatten() for c in torch.meshgrid(*map(torch.arange, query.shape[-2:]), indexing="ij"))
    away = torch.maximum((rows[:, None] - rows).abs(), (columns[:, None] - columns).abs())
    for b in range(batch):
        cells = torch.cat([e[b][:, taken.flatten()].t() for e, _ in references])
        own = torch.cat([s[b][taken.flatten()] for _, s in references])
        every = (x[b].flatten(1).t()[:, None] - cells).square().sum(dim=2)
        near = (query[b].flatten(1).t()[:, None] - keys[b].flatten(1).t()).square().sum(dim=2)
        for s in range(count):
            if (own == s).any():
                found[b, s, 0] = value(every[:, own == s].amin(dim=1), bias[s]).view(height, width)
            for w, radius in enumerate(head.windows):
                seen = (away <= radius) & (labels[b].flatten() == s)
                least = near.masked_fill(~seen, 5e4).amin(dim=1).view(query.shape[-2:])
                found[b, s, 1 + w] = F.interpolate(value(least, bias[s])[None, None], size=(height, width),
                                                   mode="bilinear", align_corners=True)[0, 0]
    return found


def inputs(batch=2, channels=5, size=(9, 12), count=3, dtype=torch.float64):
    torch.manual_seed(0)
    x, before = (torch.rand(batch, channels, *size, dtype=dtype, requires_grad=True) for _ in range(2))
    references = [(torch.rand(batch, channels, size[0] * size[1], dtype=dtype),
                   torch.randint(-1, count, (batch, size[0] * size[1]))) for _ in range(2)]
    return x, references, before, torch.randint(-1, count, (batch, *size))


@pytest.mark.parametrize("options", [dict(windows=(4, 1, 2)), dict(windows=(2,), downsample=1),
                                     dict(windows=(3, 1), global_stride=2), dict(windows=(30,), max_elements=7)])
def test_values_and_gradients_are_those_of_all_pairs(options):
    head = GlobalLocalMatching(background=False, **options).double()
    torch.nn.init.constant_(head.background_bias, -0.3)
    torch.nn.init.constant_(head.object_bias, 0.2)
    x, references, before, slots = inputs()
    ours = head(x, references, before, slots, 3)
    theirs = all_pairs(head, x, references, before, slots, 3)
    assert torch.allclose(ours[:, :, :-1], theirs, atol=1e-12)
    assert torch.equal(ours[:, 1, -1], (slots == 1).double())
    seed = torch.rand_like(theirs)
    leaves = [x, before, head.background_bias, head.object_bias]
    grads = [torch.autograd.grad((y * seed).sum(), leaves) for y in (ours[:, :, :-1], theirs)]
    assert all(torch.allclose(a, b, atol=1e-10) and a.abs().sum() > 0 for a, b in zip(*grads, strict=True))


def test_background_versions_are_the_least_of_the_other_slots():
    head = GlobalLocalMatching(windows=(3, 1)).double()
    x, references, before, slots = inputs(count=4)
    matches = head(x, references, before, slots, 4)
    total, local, mask, other_local, other_total = matches.split([1, 2, 1, 2, 1], dim=2)
    for mine, others in ((local, other_local), (total, other_total)):
        for s in range(4):
            rest = [r for r in range(4) if r != s]
            assert torch.equal(others[:, s], mine[:, rest].amin(dim=1))
    assert torch.equal(best_of_others(total[:, :1], largest=False), total[:, :1])
    assert torch.equal(best_of_others(total, largest=True)[:, 0], total[:, 1:].amax(dim=1))


@pytest.mark.parametrize("dtype, bound", [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_blocks_give_what_one_piece_gives(dtype, bound):
    x, references, before, slots = inputs(channels=16, size=(13, 17), dtype=dtype)
    with torch.no_grad():
        whole = GlobalLocalMatching(windows=(2,), max_elements=1 << 30).to(dtype)(x, references, before, slots, 3)
        for size in (100, 1000, 30_000):
            part = GlobalLocalMatching(windows=(2,), max_elements=size).to(dtype)(x, references, before, slots, 3)
            assert (part - whole).abs().max() <= bound


def test_the_first_of_equal_cells_is_taken_in_any_block():
    keys = torch.tensor([[1.0], [0.0], [0.0], [2.0], [0.0]])
    for size in (1, 2, 3, 100):
        assert nearest(torch.zeros(3, 1), keys, size).tolist() == [1, 1, 1]


MEASURE = """
import torch
from vosplug.inference.measuring import PeakMemory
from vosplug.models.matching_heads import GlobalLocalMatching
torch.set_num_threads(1)
size, head = (121, 213), GlobalLocalMatching(windows=(2,))
x, slots = torch.rand(1, 100, *size), torch.randint(0, 4, (1, *size))
reference = (torch.rand(1, 100, size[0] * size[1]), slots.flatten(1))
with torch.no_grad(), PeakMemory(torch.device("cpu")) as peak:
    head.match_references(x, [reference], 4)
print(peak.mib)
"""


def test_memory_at_full_size_stays_within_blocks(root):
    """481x849: 121 x 213 cells, three objects; all distances at once would be 2.5 GiB. In a process of its own."""
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, cwd=root, check=True)
    assert 10 < float(done.stdout) < 300


def test_labels_take_the_nearest_cell():
    labels = torch.arange(10).view(1, 1, 10).expand(1, 7, 10) + 10 * torch.arange(7)[:, None]
    assert nearest_labels(labels, (3, 4))[0].tolist() == [[0, 2, 5, 7], [20, 22, 25, 27], [40, 42, 45, 47]]
    assert nearest_labels(labels, (7, 10)).equal(labels) and halved_labels(labels).shape == (1, 4, 6)


@pytest.mark.parametrize("options, text", [
    (dict(windows=()), "windows must be radii of at least 1"), (dict(windows=(2, 0)), "windows must be radii"),
    (dict(downsample=3), "downsample must be 1 or 2"), (dict(global_stride=0), "global_stride must be at least 1"),
    (dict(max_elements=0), "max_elements must be at least 1")])
def test_wrong_options_are_named(options, text):
    with pytest.raises(ConfigError, match=f"GlobalLocalMatching.{text}"):
        GlobalLocalMatching(**options)
