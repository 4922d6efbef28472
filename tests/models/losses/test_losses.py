"""BootstrappedCE and DiceLoss against loops."""

import math

import pytest
import torch

from vosplug.models.losses import BootstrappedBCE, BootstrappedCE, DiceLoss, PixelLoss, SoftJaccardLoss
from vosplug.structures import ClipRecord, FrameRecord
from vosplug.utils.errors import ConfigError

VOID = 255


def example(seed=0, batch=2, objects=2, size=(5, 4)):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, objects + 1, *size, generator=generator, dtype=torch.float64) * 3
    labels = torch.randint(0, objects + 1, (batch, *size), generator=generator)
    labels[0, 0] = VOID
    return logits, labels


def pixel_losses(logits, labels):
    """Cross-entropy of every pixel that is not void, one at a time."""
    values = []
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            if labels[y, x] != VOID:
                scores = logits[:, y, x].tolist()
                values.append(math.log(sum(math.exp(s) for s in scores)) - scores[labels[y, x]])
    return values


@pytest.mark.parametrize("share", [1.0, 0.5, 0.15, 1e-6])
def test_mean_over_the_hardest_pixels_of_each_clip(share):
    logits, labels = example()
    loss = BootstrappedCE()
    loss.share = share
    expected = 0
    for row in range(2):
        values = sorted(pixel_losses(logits[row], labels[row]), reverse=True)
        hardest = values[: max(1, int(len(values) * share))]
        expected += sum(hardest) / len(hardest) / 2
    assert float(loss.pixels(logits, labels)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("share", [1.0, 0.575, 0.15])
def test_void_pixels_may_count_as_pixels_without_loss(share):
    """CFBI: the share is one of all pixels."""
    logits, labels = example()
    loss = BootstrappedCE(count_void=True)
    loss.share = share
    expected = 0
    for row in range(2):
        values = sorted(pixel_losses(logits[row], labels[row]), reverse=True)
        expected += sum(values[: int(20 * share)]) / int(20 * share) / 2
    assert float(loss.pixels(logits, labels)) == pytest.approx(expected, rel=1e-12)


def test_binary_cross_entropy_is_that_of_the_slots_that_exist():
    logits, labels = example()
    logits[1, 2] = float("-inf")
    labels[1][labels[1] == 2] = 0
    expected = 0.0
    for row, slots in ((0, 3), (1, 2)):
        pixels = [(y, x) for y in range(5) for x in range(4) if labels[row, y, x] != VOID]
        signs = [(1 if labels[row, y, x] == s else -1) * float(logits[row, s, y, x]) for y, x in pixels
                 for s in range(slots)]
        expected += sum(math.log1p(math.exp(-s)) for s in signs) / len(signs) / 2
    assert float(BootstrappedBCE().pixels(logits, labels)) == pytest.approx(expected, rel=1e-12)


def test_void_pixels_do_not_matter():
    logits, labels = example()
    other = logits.clone()
    other[0, :, 0] += torch.randn(3, 4).double() * 100
    for loss in (BootstrappedCE(), BootstrappedBCE(), DiceLoss()):
        assert float(loss.pixels(logits, labels)) == pytest.approx(float(loss.pixels(other, labels)), rel=1e-12)


@pytest.mark.parametrize("loss", [BootstrappedCE(), BootstrappedBCE(), DiceLoss()])
def test_a_clip_that_is_void_gives_no_gradient(loss):
    logits, labels = example()
    logits.requires_grad_()
    labels[0] = VOID
    value = loss.pixels(logits, labels)
    value.backward()
    assert torch.isfinite(value) and logits.grad[0].abs().sum() == 0 and logits.grad[1].abs().sum() > 0


@pytest.mark.parametrize("start, end, expected", [
    (100, 300, {0: 1.0, 99: 1.0, 100: 1.0, 200: 0.6, 250: 0.4, 299: 0.204, 300: 0.2, 10_000: 0.2}),
    (0.1, 0.3, {0: 1.0, 100: 1.0, 200: 0.6, 250: 0.4, 300: 0.2, 999: 0.2}),
    (0, 1.0, {0: 1.0, 500: 0.6, 1000: 0.2}), (50, 50, {49: 1.0, 50: 0.2}), (1, 1.0, {0: 1.0, 1000: 0.2})])
def test_share_follows_the_training(start, end, expected):
    loss = BootstrappedCE(start_warm=start, end_warm=end, top_p=0.2)
    assert loss.share == 1.0  # before the first iteration is told
    for iteration, share in expected.items():
        loss.set_progress(iteration, 1000)
        assert loss.share == pytest.approx(share)
    loss.set_progress(0, 1000)
    assert loss.share == 1.0  # a function of the iteration alone


@pytest.mark.parametrize("options", [dict(top_p=0), dict(top_p=1.5), dict(start_warm=10, end_warm=5),
                                     dict(start_warm=0.5, end_warm=0.2)])
def test_wrong_options_are_config_errors(options):
    with pytest.raises(ConfigError, match="BootstrappedCE"):
        BootstrappedCE(**options)


@pytest.mark.parametrize("share", [1.0, 0.3])
@pytest.mark.parametrize("make", [BootstrappedCE, BootstrappedBCE, DiceLoss])
def test_absent_objects_give_finite_gradients(make, share):
    logits, labels = example()
    labels[1][labels[1] == 2] = 0
    values = logits.clone().requires_grad_()
    off = torch.zeros_like(logits, dtype=torch.bool)
    off[1, 2] = True
    loss = make()
    loss.share = share
    result = loss.pixels(values.masked_fill(off, float("-inf")), labels)
    result.backward()
    assert torch.isfinite(result) and torch.isfinite(values.grad).all()
    assert values.grad[1, 2].abs().sum() == 0 and values.grad[1, :2].abs().sum() > 0


def test_soft_jaccard_by_hand():
    """Probability 3/4 of the background everywhere: a clip that shows it alone, and one that shows both, half each."""
    logits = torch.tensor([math.log(3.0), 0.0], dtype=torch.float64)[None, :, None, None].expand(2, 2, 2, 2)
    labels = torch.tensor([[[0, 0], [0, 0]], [[0, 0], [1, 1]]])
    alone = 1 - 3 / (3 + 4 - 3)
    both = (1 - 1.5 / (3 + 2 - 1.5) + 1 - 0.5 / (1 + 2 - 0.5)) / 2
    assert float(SoftJaccardLoss().pixels(logits[:1], labels[:1])) == pytest.approx(alone, abs=1e-6)
    assert float(SoftJaccardLoss().pixels(logits, labels)) == pytest.approx((alone + both) / 2, abs=1e-6)


def test_dice_is_the_definition():
    logits, labels = example()
    expected = []
    for row in range(2):
        prob = logits[row].softmax(dim=0)
        for channel in (1, 2):
            overlap = squares = 0.0
            for y in range(5):
                for x in range(4):
                    if labels[row, y, x] != VOID:
                        p, g = float(prob[channel, y, x]), float(labels[row, y, x] == channel)
                        overlap, squares = overlap + p * g, squares + p * p + g
            expected.append(1 - (2 * overlap + 1) / (squares + 1))
    assert float(DiceLoss().pixels(logits, labels)) == pytest.approx(sum(expected) / 4, rel=1e-12)


def test_dice_counts_only_objects_that_exist():
    logits, labels = example()
    labels[1][labels[1] == 2] = 0
    logits[1, 2] = float("-inf")
    first, second = DiceLoss().pixels(logits[:1], labels[:1]), DiceLoss().pixels(logits[1:, :2], labels[1:])
    assert float(DiceLoss().pixels(logits, labels)) == pytest.approx(float(first * 2 + second) / 3, rel=1e-12)


def test_dice_of_perfect_and_of_empty_masks():
    labels = torch.tensor([[[0, 1], [1, 0]]])
    perfect = torch.stack([(labels == k).double() * 200 - 100 for k in (0, 1)], dim=1)
    assert float(DiceLoss().pixels(perfect, labels)) == pytest.approx(0, abs=1e-12)
    assert float(DiceLoss().pixels(-perfect, labels)) == pytest.approx(1 - 1 / 5)


@pytest.mark.parametrize("make", [BootstrappedCE, DiceLoss])
def test_frames_without_objects(make):
    logits = torch.zeros(1, 1, 3, 3, requires_grad=True)
    value = make().pixels(logits, torch.zeros(1, 3, 3, dtype=torch.long))
    value.backward()
    assert value.item() == 0


def test_mean_over_the_frames_that_were_predicted_without_clips_that_know_nothing():
    class Sum(PixelLoss):
        name, weight = "sum", 1.0

        def pixels(self, logits, labels):
            assert len(logits) == len(labels)
            return labels.sum().float()

    logits, labels = torch.zeros(2, 2, 1, 2), torch.tensor([[[1, 0]], [[1, 1]]])
    known = ([[False], [False]], [[True], [True]], [[False], [True]])
    record = ClipRecord([FrameRecord(t, logits, labels, torch.tensor(table)) for t, table in enumerate(known)])
    assert [frame.index for frame in record.scored()] == [1, 2]
    assert float(Sum()(record)) == pytest.approx((3 + 2) / 2)
    assert float(Sum()(ClipRecord(record.frames[:1]))) == 0
