"""Products with Jacobians that are written out, against autograd and dense solutions, in double precision."""

import pytest
import torch
import torch.nn.functional as F

from vosplug.models.online import FilterProblem, GaussNewtonCG, LayersProblem, filter_scores, label_stencil
from vosplug.utils.errors import ConfigError

SIZE, GRID = (13, 18), (4, 5)


def example(seed=0, samples=3, channels=2, in_channels=4):
    """Features, labels, pixel weights, sample weights, projection, filter."""
    random = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=random, dtype=torch.float64)
    weights = draw(samples).abs() + 0.1
    return (draw(samples, in_channels, *GRID), (draw(samples, *SIZE) > 0).double(), draw(samples, *SIZE).abs(),
            weights / weights.sum(), draw(channels, in_channels, 1, 1), draw(1, channels, 3, 3))


def residuals(features, labels, pixel_weights, weights, penalties, project, kernel):
    """All residuals at full resolution, as the public tracker writes them."""
    scores = F.conv2d(F.conv2d(features, project), kernel, padding=1)
    scores = F.interpolate(scores, size=SIZE, mode="bilinear", align_corners=False)[:, 0]
    data = weights.sqrt()[:, None, None] * pixel_weights * (scores - labels)
    return torch.cat([data.flatten(), penalties[0] * project.flatten(), penalties[1] * kernel.flatten()])


def test_scores_are_a_convolution():
    features, *_, kernel = example(in_channels=2)
    expected = F.conv2d(features, kernel, padding=1)[:, 0]
    assert torch.allclose(filter_scores(features, kernel), expected, atol=1e-12)


@pytest.mark.parametrize("size, grid", [(SIZE, GRID), ((16, 16), (2, 3)), ((17, 95), (2, 6)), ((5, 7), (5, 7)),
                                        ((33, 48), (3, 3)), ((16, 16), (1, 1))])
def test_stencil_equals_full_resolution(size, grid):
    random = torch.Generator().manual_seed(1)
    labels, weights = (torch.rand(2, *size, generator=random, dtype=torch.float64) for _ in range(2))
    scores = torch.randn(2, *grid, generator=random, dtype=torch.float64, requires_grad=True)
    up = F.interpolate(scores[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
    expected, = torch.autograd.grad((weights * (up - labels)).square().sum() / 2, scores)
    stencil, target = label_stencil(labels, weights, grid)
    ours = FilterProblem(scores.detach()[:, None], stencil, target, torch.ones(2), 0.0)
    identity = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
    identity[0, 0, 1, 1] = 1
    assert torch.allclose(ours._couple(identity) - target, expected, atol=1e-10)


def test_products_in_both_layers_equal_autograd():
    features, labels, pixel_weights, weights, project, kernel = example()
    penalties = (0.3, 0.7)
    stencil, target = label_stencil(labels, pixel_weights, GRID)
    problem = LayersProblem(features, stencil, target, weights, penalties)
    gradient, product = problem.linearise([project, kernel])

    def flat(p):
        project_, kernel_ = p[: project.numel()].view_as(project), p[project.numel() :].view_as(kernel)
        return residuals(features, labels, pixel_weights, weights, penalties, project_, kernel_)
    point = torch.cat([project.flatten(), kernel.flatten()])
    jacobian = torch.autograd.functional.jacobian(flat, point)
    direction = torch.randn(len(point), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    parts = [direction[: project.numel()].view_as(project), direction[project.numel() :].view_as(kernel)]
    ours = [torch.cat([x.flatten() for x in part]) for part in (gradient, product(parts))]
    assert torch.allclose(ours[0], jacobian.T @ flat(point), atol=1e-10)
    assert torch.allclose(ours[1], jacobian.T @ (jacobian @ direction), atol=1e-10)


def test_gauss_newton_step_equals_the_dense_solution():
    features, labels, pixel_weights, weights, project, kernel = example()
    penalties = (0.3, 0.7)
    problem = LayersProblem(features, *label_stencil(labels, pixel_weights, GRID), weights, penalties)
    count = project.numel() + kernel.numel()

    def flat(p):
        project_, kernel_ = p[: project.numel()].view_as(project), p[project.numel() :].view_as(kernel)
        return residuals(features, labels, pixel_weights, weights, penalties, project_, kernel_)
    point = torch.cat([project.flatten(), kernel.flatten()])
    jacobian = torch.autograd.functional.jacobian(flat, point)
    expected = point + torch.linalg.solve(jacobian.T @ jacobian, -jacobian.T @ flat(point))
    optimiser = GaussNewtonCG(precond=(1.0, 1.0))
    ours = torch.cat([p.flatten() for p in optimiser.run(problem, [project, kernel], [4 * count])])
    assert (ours - expected).abs().max() < 1e-8


@pytest.mark.parametrize("formula", ["polak_ribiere", "fletcher_reeves"])
@pytest.mark.parametrize("reset", [False, True])
def test_filter_problem_equals_the_dense_solution_and_its_loss_never_rises(formula, reset):
    features, labels, pixel_weights, weights, _, kernel = example(in_channels=2)
    problem = FilterProblem(features, *label_stencil(labels, pixel_weights, GRID), weights, 0.2)

    def flat(k):
        return residuals(features, labels, pixel_weights, weights, (0.0, 0.2), torch.eye(2).double()[:, :, None, None],
                         k.view_as(kernel))
    jacobian = torch.autograd.functional.jacobian(flat, kernel.flatten())
    normal = jacobian.T @ jacobian
    expected = torch.linalg.solve(normal, normal @ kernel.flatten() - jacobian.T @ flat(kernel.flatten()))
    optimiser = GaussNewtonCG(precond=(1e-2,), formula=formula, reset_direction=reset)
    losses = [float(problem.loss(optimiser.run(problem, [kernel], [count])[0])) for count in range(1, 12)]
    assert all(b <= a + 1e-12 for a, b in zip(losses, losses[1:], strict=False)) and losses[-1] < losses[0]
    ours, = optimiser.run(problem, [kernel], [60])
    assert (ours.flatten() - expected).abs().max() < 1e-8
    constant = (weights[:, None, None] * (pixel_weights * labels).square()).sum()
    assert torch.allclose(problem.loss(kernel) + constant, flat(kernel.flatten()).square().sum(), atol=1e-9)


def test_nothing_left_to_solve_stays_finite():
    features = torch.zeros(1, 2, *GRID)
    problem = FilterProblem(features, *label_stencil(torch.zeros(1, *SIZE), torch.ones(1, *SIZE), GRID),
                            torch.ones(1), 0.0)
    result, = GaussNewtonCG(precond=(1.0,)).run(problem, [torch.zeros(1, 2, 3, 3)], [5, 5])
    assert torch.equal(result, torch.zeros(1, 2, 3, 3))


@pytest.mark.parametrize("options, message", [({"formula": "newton"}, "must be one of"),
                                              ({"precond": (0.0,)}, "positive"),
                                              ({"forgetting": -1}, "at least 0")])
def test_bad_options(options, message):
    with pytest.raises(ConfigError, match=message):
        GaussNewtonCG(**{"precond": (1.0,), **options})
