"""Decoder of CFBI, which SST uses too."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...registry import DECODERS
from ...structures import Rows
from ...utils.errors import ConfigError
from ..frame_run import visible_run
from ..layers.aggregate import full_precision, hide_inactive
from ..layers.build import build_norm
from ..layers.conv_norm import ConvNorm
from ..layers.halving import resized
from ..layers.instance_gate import InstanceGate
from .gated_blocks import GatedASPP, GatedBottleneck, GatedConv

STAGES = 3  # at the stride of the embedding, twice and four times that


@DECODERS.register_module(role="slots", examples=[
    dict(channels=16, prehead_channels=8, refine_channels=8, slots_per_pass=size, depths=depths)
    for size, depths in ((None, (2, 3, 3)), (2, (1, 2, 1)))])
class CollaborativeEnsembler(nn.Module):
    """From matched values and embeddings of each slot to two logits per slot (Yang et al., CFBI, ECCV 2020).

    Every block is preceded by an instance gate. A slot is an object or the background; it is classified by weights that
    are made of its own vector, once as what it is (foreground) and once as what surrounds it (background).

    Args:
        match_channels: of the matched values; given by the segmentor.
        map_channels: of the embeddings beside them; given by the segmentor.
        vector_channels: of the vector that describes a slot; given by the segmentor.
        low_channels: of the fine level of the backbone; given by the segmentor.
        channels: of the first stage; twice as many in the others, half as many before the classifiers.
        prehead_channels: to which matched values are projected.
        refine_channels: to which fine features are projected.
        depths: blocks of each of the three stages; they are dilated 1, 2, 4, ... times.
        rates: dilations of the ASPP.
        slots_per_pass: rows that are decoded at a time, which bounds the memory; None for all at once.
        norm: config of the norms; those of pre-head and fine features have four channels per group.

    Attributes:
        in_channels: of what :meth:`forward` takes.
    """

    def __init__(self, match_channels: int, map_channels: int, vector_channels: int, low_channels: int,
                 channels: int = 256, prehead_channels: int = 64, refine_channels: int = 64,
                 depths: Sequence[int] = (2, 3, 3), rates: Sequence[int] = (1, 6, 12, 18),
                 slots_per_pass: int | None = 8, norm: dict | None = None):
        super().__init__()
        if slots_per_pass is not None and not slots_per_pass >= 1:
            raise ConfigError(f"CollaborativeEnsembler.slots_per_pass must be at least 1, or None for all at once, got "
                              f"{slots_per_pass}")
        if channels % 8:
            raise ConfigError(f"CollaborativeEnsembler.channels must be a multiple of 8, got {channels}")
        if len(depths) != STAGES or min(depths) < 1:
            raise ConfigError(f"CollaborativeEnsembler.depths must be {STAGES} numbers of at least 1, got {depths}")
        norm, fine_norm = norm or dict(type="GN", groups=32), dict(type="GN", channels_per_group=4)
        self.slots_per_pass = slots_per_pass
        self.in_channels = map_channels + prehead_channels
        self.prehead_conv = nn.Conv2d(match_channels, prehead_channels, 1)
        self.prehead_norm = build_norm(fine_norm, prehead_channels)
        nn.init.kaiming_normal_(self.prehead_conv.weight, mode="fan_out", nonlinearity="relu")
        widths = (self.in_channels, *[channels] * depths[0], *[2 * channels] * sum(depths[1:]))
        places = [(stage, block) for stage, depth in enumerate(depths) for block in range(depth)]
        self.blocks = nn.ModuleList(
            GatedBottleneck(*pair, norm, stride=2 if stage and not block else 1, dilation=2 ** block)
            for *pair, (stage, block) in zip(widths, widths[1:], places, strict=False))
        self.fine_block = depths[0] - 1
        self.aspp = GatedASPP(2 * channels, channels // 2, channels, rates, norm)
        self.fine = GatedConv(low_channels + channels, refine_channels, 1, fine_norm)
        joined = channels + refine_channels
        self.refine = nn.ModuleList([ConvNorm(joined, channels // 2, 3, norm),
                                     ConvNorm(channels // 2, channels // 2, 3, norm)])
        self.gates = nn.ModuleList(InstanceGate(vector_channels, width) for width in
                                   (*widths, joined, channels // 2))
        self.foreground = nn.Linear(vector_channels, channels // 2 + 1)
        self.background = nn.Linear(vector_channels, channels // 2 + 1)

    def prehead(self, matches: Tensor) -> Tensor:
        """Matched values (R, M, h, w) -> (R, prehead_channels, h, w)."""
        return F.relu(self.prehead_norm(self.prehead_conv(matches)))

    def forward(self, x: Tensor, vector: Tensor, low: Tensor, rows: Rows) -> Tensor:
        """Decode rows, some at a time.

        Args:
            x: (R, in_channels, h, w), embeddings and the output of the pre-head.
            vector: (R, V), what describes each row.
            low: (B, Cl, h, w), fine level of the backbone.
            rows: the R rows.

        Returns:
            (R, 2, h, w): logits as foreground and as background.
        """
        logits = []
        for part, own in self.passes(rows):
            with own:
                logits.append(self.decode(x[part], vector[part], low.index_select(0, rows.batch[part])))
        return torch.cat(logits)

    def passes(self, rows: Rows) -> Iterator[tuple[slice, AbstractContextManager]]:
        """Parts of the rows, each with a context in which layers know whose rows they see."""
        size, run = self.slots_per_pass or len(rows), visible_run()
        for start in range(0, len(rows), size):
            part = slice(start, start + size)
            own = rows.select([part.start <= row < part.stop for row in range(len(rows))])
            yield part, nullcontext() if run is None else run.whose(own)

    def decode(self, x: Tensor, vector: Tensor, low: Tensor) -> Tensor:
        """The rows of one pass: (R, C, h, w), (R, V), (R, Cl, h, w) -> (R, 2, h, w)."""
        gates = iter(self.gates)
        for number, block in enumerate(self.blocks):
            x = block(next(gates)(x, vector))
            if number == self.fine_block:
                fine = torch.cat([low, resized(x, low.shape[-2:])], dim=1)
        x = self.aspp(next(gates)(x, vector))
        x = F.interpolate(x, size=fine.shape[-2:], mode="bicubic", align_corners=True)
        x = torch.cat([x, self.fine(fine)], dim=1)
        for conv in self.refine:
            x = conv(next(gates)(x, vector))
        return torch.stack([classify(x, made(vector)) for made in (self.foreground, self.background)], dim=1)


def classify(x: Tensor, weights: Tensor) -> Tensor:
    """Logits (R, h, w) of maps (R, C, h, w) by weights of their own (R, C + 1), the last of which is a bias."""
    product = torch.bmm(weights[:, None, :-1], x.flatten(2)).unflatten(2, x.shape[-2:])
    return product[:, 0] + weights[:, -1, None, None]


def joint_logits(logits: Tensor, active: Tensor) -> Tensor:
    """One distribution of the two logits of each slot: objects keep their own.

    Background, which is the first slot, gets its own plus the smallest of what the objects say surrounds them.

    Args:
        logits: (B, O + 1, 2, h, w), as foreground and as background.
        active: (B, O) bool; other objects have no say and get -inf.

    Returns:
        (B, O + 1, h, w).
    """
    own, around = full_precision(logits).unbind(dim=2)
    if active.any():
        absent = ~active.to(own.device)[:, :, None, None]
        least = around[:, 1:].masked_fill(absent, float("inf")).amin(dim=1, keepdim=True)
        least = least.masked_fill(~active.to(own.device).any(dim=1)[:, None, None, None], 0)
        own = torch.cat([own[:, :1] + least, own[:, 1:]], dim=1)
    return hide_inactive(own, active)
