"""Losses between a student and its teacher, against plain evaluations of what the papers write."""

import math

import pytest
import torch

from vosplug.models.losses import (
    CKALoss,
    InterObjectLoss,
    IntraObjectLoss,
    KLAttentionLoss,
    KLLogitLoss,
    ProjectorEnsembleLoss,
    PseudoLabelLoss,
)
from vosplug.models.losses.cka import cka
from vosplug.utils.errors import ConfigError


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def plain_hsic(a, b):
    """tr(K C L C) / (n - 1)^2, all matrices written out."""
    count = len(a)
    centring = torch.eye(count, dtype=a.dtype) - 1 / count
    return torch.trace(a @ a.T @ centring @ (b @ b.T) @ centring) / (count - 1) ** 2


def plain_unbiased_hsic(a, b):
    """HSIC_1 of Song et al. (2012), Eq. 5, term by term."""
    count = len(a)
    k, m = a @ a.T, b @ b.T
    k, m = k - torch.diag(torch.diag(k)), m - torch.diag(torch.diag(m))
    one = torch.ones(count, dtype=a.dtype)
    total = torch.trace(k @ m) + (one @ k @ one) * (one @ m @ one) / ((count - 1) * (count - 2))
    return (total - 2 / (count - 2) * (one @ k @ m @ one)) / (count * (count - 3))


def plain_cka(a, b, hsic):
    return hsic(a, b) / torch.sqrt(hsic(a, a) * hsic(b, b))


# Examples, channels of both: products of channels are cheaper, and Gram matrices are.
SHAPES = [(40, 6, 9), (12, 30, 45), (20, 20, 3)]


class TestCKA:
    @pytest.mark.parametrize(("count", "ours", "theirs"), SHAPES)
    @pytest.mark.parametrize(("estimator", "hsic"), [("biased", plain_hsic), ("unbiased", plain_unbiased_hsic)])
    def test_equals_equation_8_as_it_is_meant(self, count, ours, theirs, estimator, hsic):
        a = draw(2, count, ours) + 3
        b = draw(2, count, theirs, seed=1) + a[..., :3].sum(dim=-1, keepdim=True)
        expected = torch.stack([plain_cka(x, y, hsic) for x, y in zip(a, b, strict=True)])
        assert torch.allclose(cka(a, b, estimator), expected, rtol=0, atol=1e-10)
        single = cka(a.float(), b.float(), estimator)
        assert torch.allclose(single.double(), expected, rtol=0, atol=1e-4)
        loss = CKALoss(estimator=estimator)
        assert float(loss(a, b)) == pytest.approx(float((1 - expected).mean()), abs=1e-10)
        assert float(loss(b, a)) == pytest.approx(float(loss(a, b)), abs=1e-12)

    @pytest.mark.parametrize("estimator", ["biased", "unbiased"])
    def test_is_blind_to_rotations_scales_and_shifts_but_not_to_linear_maps(self, estimator):
        a = draw(1, 50, 8)
        rotation = torch.linalg.qr(draw(8, 8, seed=3))[0]
        loss = CKALoss(estimator=estimator)
        for b in (a @ rotation, a * 1e3, a * 1e-3, a + draw(8, seed=4) * 10, -2 * a @ rotation + 1,
                  torch.cat([a, torch.zeros(1, 50, 4)], dim=-1)):
            assert float(loss(a, b)) == pytest.approx(0, abs=1e-9)
        stretched = a @ torch.diag(torch.tensor([30.0] + [0.1] * 7, dtype=a.dtype))
        assert float(loss(a, stretched)) > 0.1

    def test_what_independent_maps_give(self):
        """The biased score depends on how many channels there are, the unbiased one does not."""
        keys, more = draw(1, 900, 225), draw(1, 900, 900, seed=1)
        other = draw(1, 900, 225, seed=2)
        assert float(cka(keys, other)) == pytest.approx(0.20, abs=0.01)
        assert float(cka(more, draw(1, 900, 900, seed=3))) == pytest.approx(0.50, abs=0.01)
        assert abs(float(cka(keys, other, "unbiased"))) < 0.01 and abs(float(cka(keys, more, "unbiased"))) < 0.01

    @pytest.mark.parametrize("estimator", ["biased", "unbiased"])
    @pytest.mark.parametrize("fault", ["zero", "constant", "one channel", "huge"])
    def test_never_nan(self, estimator, fault):
        a, b = draw(2, 12, 5).requires_grad_(), draw(2, 12, 7, seed=1)
        c = dict(zero=b * 0, constant=torch.ones_like(b) * 7, **{"one channel": b * torch.eye(7, dtype=b.dtype)[0]},
                 huge=b * 1e18)[fault]
        for first, second in ((a, c), (a.float(), c.float())):
            value = CKALoss(estimator=estimator)(first, second)
            assert torch.isfinite(value)
            (grad,) = torch.autograd.grad(value, a)
            assert torch.isfinite(grad).all()
        still = (a * 0 + 1).detach().requires_grad_()
        value = CKALoss(estimator=estimator)(still, b)
        assert float(value.detach()) == pytest.approx(1) and torch.isfinite(torch.autograd.grad(value, still)[0]).all()

    def test_noise_makes_the_unbiased_score_negative_at_times_but_never_nan(self):
        values = cka(draw(200, 6, 40), draw(200, 6, 50, seed=1), "unbiased")
        assert torch.isfinite(values).all() and (values < 0).any()

    def test_too_few_examples_are_refused(self):
        for estimator, least in (("biased", 3), ("unbiased", 4)):
            cka(draw(1, least, 4), draw(1, least, 4, seed=1), estimator)
            with pytest.raises(ConfigError, match=f"at least {least} examples.*got {least - 1}"):
                cka(draw(1, least - 1, 4), draw(1, least - 1, 4, seed=1), estimator)
        with pytest.raises(ConfigError, match="at least 3 examples.*got 2"):
            CKALoss(examples="batch")(draw(2, 30, 4), draw(2, 30, 4))

    def test_clips_as_examples(self):
        a, b = draw(5, 6, 4), draw(5, 6, 3, seed=1)
        expected = plain_cka(a.flatten(1), b.flatten(1), plain_hsic)
        assert float(CKALoss(examples="batch")(a, b)) == pytest.approx(float(1 - expected), abs=1e-10)

    def test_gradients(self):
        a, b = draw(2, 9, 4).requires_grad_(), draw(2, 9, 3, seed=1)
        for estimator in ("biased", "unbiased"):
            assert torch.autograd.gradcheck(lambda x, e=estimator: CKALoss(estimator=e)(x, b), a)

    def test_wrong_options_are_refused(self):
        for options in (dict(estimator="fair"), dict(examples="pixels")):
            with pytest.raises(ConfigError, match="must be one of"):
                CKALoss(**options)


def logits_of(*probabilities):
    """(1, O + 1, 1, 1) logits of one pixel."""
    return torch.tensor(probabilities, dtype=torch.float64).log().view(1, -1, 1, 1)


class TestPearson:
    def test_one_object_teaches_between_objects_only_with_padding(self):
        """Distance and gradient of (.6, .4) to (.9, .1)."""
        teacher = logits_of(0.9, 0.1)
        for channels, expected in ((2, 0.0), (3, 0.1816), (11, 0.1256)):
            student = logits_of(0.6, 0.4).requires_grad_()
            value = InterObjectLoss(channels=channels)(student, teacher)
            (grad,) = torch.autograd.grad(value, student)
            assert float(value.detach()) == pytest.approx(expected, abs=1e-4)
            assert (float(grad.abs().max()) > 1e-3) == (channels > 2)
        assert float(grad.abs().max()) > 0.05

    def test_objects_beyond_the_padding_stay(self):
        student, teacher = draw(2, 6, 3, 4), draw(2, 6, 3, 4, seed=1)
        assert torch.equal(InterObjectLoss(channels=4)(student, teacher), InterObjectLoss(channels=6)(student, teacher))
        assert InterObjectLoss(max_objects=4).channels == 5 and InterObjectLoss().channels == 11
        assert InterObjectLoss(channels=7, max_objects=4).channels == 7

    def test_affine_predictions_are_at_distance_0_and_negated_ones_at_2(self):
        """Of one object: its map p, a p + b and 1 - p."""
        p = torch.rand(1, 1, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 0.4 + 0.3
        maps = {name: torch.cat([1 - x, x], dim=1).log() for name, x in
                dict(same=p, affine=0.5 * p + 0.1, negated=1 - p).items()}
        for scope in ("clip", "batch"):
            loss = IntraObjectLoss(scope=scope)
            assert float(loss(maps["affine"], maps["same"])) == pytest.approx(0, abs=1e-6)
            assert float(loss(maps["negated"], maps["same"])) == pytest.approx(2, abs=1e-6)
        assert float(InterObjectLoss(channels=2)(maps["negated"], maps["same"])) <= 2

    @pytest.mark.parametrize("temperature", [1.0, 3.0])
    def test_equal_plain_evaluations(self, temperature):
        """Eq. 10 and 11 by numpy's correlations; the second clip lacks its second object."""
        student, teacher = draw(2, 3, 4, 5), draw(2, 3, 4, 5, seed=1)
        for x in (student, teacher):
            x[1, 2] = -math.inf
        ours, theirs = ((x / temperature).softmax(dim=1) for x in (student, teacher))
        rows = []
        for b in range(2):
            for y in range(4):
                for x in range(5):
                    pair = torch.zeros(2, 6, dtype=torch.float64)
                    pair[0, :3], pair[1, :3] = ours[b, :, y, x], theirs[b, :, y, x]
                    rows.append(1 - torch.corrcoef(pair)[0, 1])
        value = InterObjectLoss(channels=6, temperature=temperature)(student, teacher)
        assert float(value) == pytest.approx(float(torch.stack(rows).mean()), abs=1e-6)
        clips = []
        for b, count in ((0, 3), (1, 2)):
            maps = [1 - torch.corrcoef(torch.stack([ours[b, j].flatten(), theirs[b, j].flatten()]))[0, 1]
                    for j in range(count)]
            clips.append(torch.stack(maps).mean())
        value = IntraObjectLoss(temperature=temperature)(student, teacher)
        assert float(value) == pytest.approx(float(torch.stack(clips).mean()), abs=1e-6)

    def test_maps_of_zeros_cost_one_each(self):
        """As in AOT's logits, whose unused channels are constant."""
        student, teacher = draw(1, 3, 4, 5), draw(1, 3, 4, 5, seed=1)
        plain, padded = IntraObjectLoss()(student, teacher), IntraObjectLoss(channels=11)(student, teacher)
        assert float(padded) == pytest.approx((3 * float(plain) + 8) / 11, abs=1e-9)

    def test_wrong_options_are_refused(self):
        for cls, options in ((InterObjectLoss, dict(channels=1)), (InterObjectLoss, dict(temperature=0)),
                             (IntraObjectLoss, dict(channels=1)), (IntraObjectLoss, dict(scope="frame")),
                             (IntraObjectLoss, dict(temperature=-1.0)), (KLLogitLoss, dict(temperature=0.0))):
            with pytest.raises(ConfigError, match=f"{cls.__name__}.{next(iter(options))} must be"):
                cls(**options)


class TestDivergences:
    def test_of_logits_equals_the_sum(self):
        student, teacher = draw(2, 3, 2, 2), draw(2, 3, 2, 2, seed=1)
        student[1, 2] = teacher[1, 2] = -math.inf
        for temperature in (1.0, 4.0):
            p, q = (teacher / temperature).softmax(dim=1), (student / temperature).softmax(dim=1)
            terms = torch.where(p > 0, p * (p.log() - q.log()), 0.0).sum(dim=1)
            value = KLLogitLoss(temperature=temperature)(student, teacher)
            assert float(value) == pytest.approx(float(terms.mean()) * temperature**2, abs=1e-10)
        wanted = student.clone().requires_grad_()
        KLLogitLoss()(wanted, teacher).backward()
        assert torch.isfinite(wanted.grad).all() and float(KLLogitLoss()(teacher, teacher)) == 0

    def test_of_attention(self):
        weights, others = draw(2, 5, 7).softmax(dim=-1), draw(2, 5, 7, seed=1).softmax(dim=-1)
        value = KLAttentionLoss()(weights, others)
        assert float(value) == pytest.approx(float((others * (others / weights).log()).sum(dim=-1).mean()), abs=1e-10)
        assert float(KLAttentionLoss()(weights, weights)) == pytest.approx(0, abs=1e-12)
        with pytest.raises(ConfigError, match="KLAttentionLoss.temperature has no effect on over='keys'"):
            KLAttentionLoss(temperature=2.0)
        maps, wide = draw(2, 5, 7), draw(2, 5, 11, seed=1)
        expected = torch.nn.functional.kl_div(maps.log_softmax(-1), draw(2, 5, 7, seed=2).softmax(-1), reduction="sum")
        value = KLAttentionLoss(over="channels")(maps, draw(2, 5, 7, seed=2))
        assert float(value) == pytest.approx(float(expected) / 10)
        cells = KLAttentionLoss(over="cells")
        assert float(cells(maps, wide)) > 0 and float(cells(maps, -3 * maps)) == pytest.approx(0, abs=1e-9)
        assert torch.isfinite(cells(maps * 0, wide))
        with pytest.raises(ConfigError, match="must be one of keys, channels, cells"):
            KLAttentionLoss(over="rows")

    def test_of_cells_by_hand(self):
        """Mean squares (4, 0, 2) and (0, 0, 3) of the cells, each clip standardised on its own, against another map."""
        student = torch.tensor([[[2.0, 2.0], [0, 0], [0, 2]], [[0, 0], [0, 0], [6**0.5, 0]]], dtype=torch.float64)
        teacher = student.flip(1)[:, :, :1] * 2
        log = []
        for energies in ([[4, 0, 2], [0, 0, 3]], [[0, 0, 16], [24, 0, 0]]):
            rows = []
            for row in energies:
                mean = sum(row) / 3
                deviation = math.sqrt(sum((x - mean) ** 2 for x in row) / 2)
                scores = [(x - mean) / deviation for x in row]
                rows.append([s - math.log(sum(map(math.exp, scores))) for s in scores])
            log.append(rows)
        expected = sum(math.exp(t) * (t - s) for ours, theirs in zip(*log, strict=True)
                       for s, t in zip(ours, theirs, strict=True)) / 2
        assert float(KLAttentionLoss(over="cells")(student, teacher)) == pytest.approx(expected, abs=1e-9)

    def test_of_attention_with_zeros(self):
        """The weights of keys that a chunked teacher leaves out."""
        weights = torch.tensor([[[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]], requires_grad=True)
        value = KLAttentionLoss()(weights, torch.tensor([[[0.0, 0.5, 0.5], [0.0, 0.0, 1.0]]]))
        value.backward()
        assert torch.isfinite(value) and torch.isfinite(weights.grad).all()


class TestProjectorEnsemble:
    def test_is_the_cosine_to_the_mean_of_three_projections(self):
        student, teacher = draw(2, 6, 4, dtype=torch.float32), draw(2, 6, 9, seed=1, dtype=torch.float32)
        loss = ProjectorEnsembleLoss()
        assert loss.weight == 25 and loss.count == 3
        torch.manual_seed(0)
        loss.prepare(student, teacher)
        assert len(loss.projectors) == 3
        assert not torch.equal(loss.projectors[0].weight, loss.projectors[1].weight)
        total = sum((student @ p.weight.T + p.bias).clamp(min=0) for p in loss.projectors) / 3
        cosine = (total * teacher).sum(-1) / (total.norm(dim=-1) * teacher.norm(dim=-1))
        assert float(loss(student, teacher).detach()) == pytest.approx(float((1 - cosine).mean().detach()), abs=1e-6)
        loss(student, teacher).backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in loss.parameters())

    def test_other_widths_are_refused(self):
        loss = ProjectorEnsembleLoss()
        loss(draw(1, 6, 4, dtype=torch.float32), draw(1, 6, 9, dtype=torch.float32))
        with pytest.raises(ConfigError, match="projects 4 channels to 9, but got 8 and 9"):
            loss(draw(1, 6, 8, dtype=torch.float32), draw(1, 6, 9, dtype=torch.float32))
        with pytest.raises(ConfigError, match="at least 1"):
            ProjectorEnsembleLoss(projectors=0)


def test_pseudo_labels_are_the_teachers_arg_max():
    student, teacher = draw(2, 3, 5, 5), draw(2, 3, 5, 5, seed=1)
    student[1, 2] = teacher[1, 2] = -math.inf
    loss = PseudoLabelLoss(losses=[dict(type="BootstrappedCE", start_warm=1, end_warm=2, weight=0.5)])
    labels = teacher.argmax(dim=1)
    assert float(loss(student, teacher)) == pytest.approx(
        0.5 * float(torch.nn.functional.cross_entropy(student, labels)), abs=1e-9)
    assert [type(part).__name__ for part in PseudoLabelLoss().losses] == ["BootstrappedCE", "SoftJaccardLoss"]


def test_half_precision_is_compared_in_float32():
    student, teacher = draw(2, 30, 6, dtype=torch.bfloat16), draw(2, 30, 6, seed=1, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        value = CKALoss()(student, teacher)
    assert value.dtype == torch.float32
    assert torch.equal(value, CKALoss()(student.float(), teacher.float()))
