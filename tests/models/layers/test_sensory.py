"""Updates of the sensory memory and the similarity, against formulas written out."""

import torch
import torch.nn.functional as F

from vosplug.models.layers import MultiScaleUpdate, SensoryGRU, anisotropic_l2


def gru(update, x, hidden):
    """The formula of XMem, channels forget, update, new."""
    values = F.conv2d(torch.cat([x, hidden], 1), update.transform.weight, update.transform.bias, padding=1)
    c = hidden.shape[1]
    f, u, n = values[:, :c].sigmoid(), values[:, c : 2 * c].sigmoid(), values[:, 2 * c :].tanh()
    return f * hidden * (1 - u) + u * n


def test_gru_formula():
    torch.manual_seed(0)
    update = SensoryGRU(5, 3).double()
    x, hidden = torch.randn(2, 5, 4, 6).double(), torch.randn(2, 3, 4, 6).double()
    assert torch.allclose(update(x, hidden), gru(update, x, hidden), atol=1e-12)


def test_scales_are_averaged_to_the_coarsest_stride():
    torch.manual_seed(0)
    update = MultiScaleUpdate([5, 4, 3], 2, mid_channels=6).double()
    scales = [torch.randn(1, c, 2 * k, 3 * k).double() for c, k in ((5, 1), (4, 2), (3, 4), (1, 4))]
    hidden = torch.randn(1, 2, 2, 3).double()
    a, b, c = update.projections
    finest = torch.cat(scales[2:], dim=1)
    x = a(scales[0]) + b(F.avg_pool2d(scales[1], 2)) + c(F.avg_pool2d(finest, 4))
    assert torch.allclose(update(scales, hidden), gru(update.gru, x, hidden), atol=1e-12)


def test_anisotropic_similarity_formula():
    torch.manual_seed(0)
    query, selection = torch.randn(2, 4, 5).double(), torch.rand(2, 4, 5).double()
    memory, shrinkage = torch.randn(2, 4, 7).double(), 1 + torch.rand(2, 1, 7).double()
    square = (memory[:, :, None] - query[:, :, :, None]).square()
    naive = -(square * selection[..., None]).sum(1) * shrinkage / 2
    assert torch.allclose(anisotropic_l2(query, memory, selection, shrinkage), naive, atol=1e-12)
    assert torch.allclose(anisotropic_l2(query, memory), -square.sum(1) / 2, atol=1e-12)
