"""What layers answer when they are asked."""

import torch

from vosplug import registry
from vosplug.models.memories import FrameBank

from .parts import CELLS, memory_of, pyramid_of
from .probes import SIZE, probe


@probe(registry.LAYERS, "drop")
def drop(part):
    return part(torch.ones(64, 3))


@probe(registry.LAYERS, "token norm")
def token_norm(part):
    return part(0.001 * torch.randn(2, 3, 4, 5, 16)), part(torch.randn(2, 3, 4, 5, 16))


@probe(registry.LAYERS, "fusion")
def fusion(part):
    return part(pyramid_of(2)), part.out_channels, part.stride


@probe(registry.LAYERS, "fuser")
def fuser(part):
    return part(torch.randn(2, 3, 4, 4), torch.randn(2, 4, 4, 4))


@probe(registry.LAYERS, "prior")
def prior(part):
    rows, columns = part(list(memory_of(FrameBank(every=1))), CELLS, 3, torch.device("cpu"))
    return rows @ columns


@probe(registry.LAYERS, "identities")
def identities(part):
    return part(part.one_hot(torch.randint(0, 4, (2, 25, 33))))


@probe(registry.LAYERS, "positions")
def positions(part):
    return part((5, 7), torch.zeros(()))


@probe(registry.LAYERS, "spacetime positions")
def spacetime_positions(part):
    return part([0, 3, 200], (5, 7), torch.zeros(()))


@probe(registry.LAYERS, "delta")
def delta(part):
    return part(torch.randn(2, 6, *SIZE))


@probe(registry.LAYERS, "translator")
def translator(part):
    return part(torch.randn(2, 16, *SIZE), torch.randn(2, 1, *SIZE))


@probe(registry.LAYERS, "update")
def update(part):
    return part(torch.randn(2, 5, 2, 3), torch.rand(2, 3, 2, 3))


@probe(registry.LAYERS, "update of scales")
def update_of_scales(part):
    scales = [torch.randn(2, 5, 2, 3), torch.randn(2, 4, 4, 6), torch.randn(2, 1, 4, 6)]
    return part(scales, torch.rand(2, 3, 2, 3))


@probe(registry.LAYERS, "offsets")
def offsets(part):
    return part(torch.randn(2, 16, 5, 7))


@probe(registry.LAYERS, "deformable attention")
def deformable_attention(part):
    """Keys and values of each place, of two frames."""
    def project(x):
        return x[..., :8], x.repeat(1, 1, 2)

    query, found = torch.randn(2, 30, 8), []
    for place in ("long_term", "short_term", "self"):
        frames = [(torch.randn(2, 30, 32), torch.randn(2, 30, 8), torch.randn(2, 30, 64)) for _ in range(2)]
        found.append(part(place, query, frames, (5, 6), project))
    return found
