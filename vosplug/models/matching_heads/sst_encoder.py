"""Encoder of SST: attention of the current frame over the frames before it, and the affinity of objects."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...registry import LAYERS, MATCHING_HEADS
from ...utils.errors import ConfigError, did_you_mean
from ..attentions.affinity_scores import SCORES
from ..layers.halving import half_size, halved, halved_labels, resized
from ..memories import MemoryEntry
from .slot_values import best_of_others, slot_masks
from .sst_layer import SSTLayer

CACHES = ("recompute", "layers")
HEADS = ("max", "all")


@dataclass
class Encoded:
    """What SST's encoder says of the current frame.

    Attributes:
        features: (B, C, h, w).
        matches: (B, S, M, h, w), of every slot.
        kept: (B, C, N) by name: what later frames want to know of this one.
    """

    features: Tensor
    matches: Tensor
    kept: dict[str, Tensor]


@MATCHING_HEADS.register_module(role="buffer", examples=[
    dict(attentions=[dict(type="LocalAttention", h=2)], heads=2),
    dict(attentions=[dict(type="GridAttention")] * 2, heads=2, downsample=1, heads_kept="all"),
    dict(attentions=[dict(type="DenseAttention")], heads=2, causal=True, cache="layers"),
    dict(attentions=[dict(type="GridAttention")], heads=2, affinity=False)])
class SSTEncoder(nn.Module):
    """Layers of sparse spatiotemporal attention over a buffer of frames (Duke et al., SST, CVPR 2021, Eq. 1 to 4).

    The last layer, and every affinity, is needed for the current frame alone, and computed for it alone.

    Args:
        attentions: configs (kind ``attention``), one per layer.
        channels: C; given by the segmentor.
        heads: of every layer.
        position: config (kind ``layer``) of what is added to the buffer (Eq. 2), see
            :mod:`~..layers.spacetime_positions`.
        downsample: the buffer has this stride of the embedding, 1 or 2.
        scaled: scores are divided by the root of a head's channels; the paper found that harmful.
        causal: cells see no later frame.
        cache: ``recompute`` runs all layers anew over the buffer for every frame; ``layers`` keeps keys and values of
            every layer with a frame, so that one frame of queries is computed. Only ``causal``: a frame's features then
            do not depend on later ones.
        affinity: give the affinity of objects.
        score: what it is made of: ``dot``, ``softmax``, ``distance`` or ``cosine``, see
            :mod:`~..attentions.affinity_scores`.
        heads_kept: ``max`` gives the largest affinity of all heads, ``all`` that of each.
        norm, activation: configs (kind ``layer``) of the norms and of the unit in the feed-forward network; None: layer
            norm and ReLU.

    Attributes:
        out_channels: of the matched values of each slot: per layer the affinity, and that of the best other slot; and
            the previous mask.
    """

    def __init__(self, attentions: list[dict], channels: int, heads: int = 8, position: dict | None = None,
                 downsample: int = 2, scaled: bool = False, causal: bool = False, cache: str = "recompute",
                 affinity: bool = True, score: str = "dot", heads_kept: str = "max", norm: dict | None = None,
                 activation: dict | None = None):
        super().__init__()
        if not attentions:
            raise ConfigError("SSTEncoder.attentions is empty: give one attention per layer")
        if downsample not in (1, 2):
            raise ConfigError(f"SSTEncoder.downsample must be 1 or 2, got {downsample}")
        if not isinstance(heads, int) or heads < 1 or channels % heads:
            raise ConfigError(f"SSTEncoder.heads must divide the {channels} channels of the embedding, got {heads}")
        chosen = (("cache", cache, CACHES), ("score", score, SCORES), ("heads_kept", heads_kept, HEADS))
        for name, value, known in chosen:
            if value not in known:
                raise ConfigError(f"SSTEncoder.{name} must be one of {', '.join(known)}, got {value!r}."
                                  f"{did_you_mean(str(value), known)}")
        if cache == "layers" and not causal:
            raise ConfigError("SSTEncoder.cache='layers' needs causal=True: without, the features of a frame change "
                              "with every frame that follows it, and cannot be kept")
        self.position = LAYERS.build(position or dict(type="SinusoidalPosition"), channels=channels)
        self.layers = nn.ModuleList(SSTLayer(channels, attention, heads, scaled=scaled, causal=causal,
                                             score=score if affinity else None, norm=norm, activation=activation)
                                    for attention in attentions)
        self.heads, self.downsample, self.causal, self.cache = heads, downsample, causal, cache
        self.affinity, self.heads_kept = affinity, heads_kept
        per_layer = heads if heads_kept == "all" else 1
        self.out_channels = 1 + (2 * per_layer * len(self.layers) if affinity else 0)

    def forward(self, embedding: Tensor, buffer: Sequence[MemoryEntry], slots: Sequence[Tensor], previous: Tensor,
                frame: int, count: int, origin: int = 0) -> Encoded:
        """Encode the current frame.

        Args:
            embedding: (B, C, h, w).
            buffer: frames before it, in order, as :attr:`Encoded.kept` of them.
            slots: (B, N) int64 of each of them: the slot of each cell, -1 for none.
            previous: (B, h, w) int64, the slot of each cell in the previous frame.
            frame: number of the current frame.
            count: S, slot 0 is the background.
            origin: positions count frames from this number on.
        """
        size, x = tuple(embedding.shape[-2:]), self.shrunk(embedding)
        grid = tuple(x.shape[-2:])
        labels = [own.unflatten(1, grid) for own in slots]
        labels = torch.stack([*labels, previous.new_full((len(x), *grid), -1)], dim=1)
        run = self.run_cached if self.cache == "layers" else self.run_anew
        tokens, affinities, kept = run(x, buffer, labels if self.affinity else None, frame, count, origin)
        features = resized(tokens.permute(0, 3, 1, 2), size)
        parts = [resized(values.flatten(1, 2), size).unflatten(1, values.shape[1:3]) for values in affinities]
        others = [best_of_others(values, largest=self.layers[0].score.best is torch.amax) for values in parts]
        mask = slot_masks(previous, count)[:, :, None].to(features)
        return Encoded(features, torch.cat([*parts, *others, mask], dim=2), kept)

    def keep(self, embedding: Tensor, buffer: Sequence[MemoryEntry], frame: int,
             origin: int = 0) -> dict[str, Tensor]:
        """What later frames want to know of a frame that is not predicted, see :attr:`Encoded.kept`."""
        x = self.shrunk(embedding)
        if self.cache == "layers":
            return self.run_cached(x, buffer, None, frame, 0, origin)[2]
        return {"embedding": x.flatten(2)}

    def shrunk(self, embedding: Tensor) -> Tensor:
        """(B, C, h, w) at the size of the buffer."""
        return halved(embedding) if self.downsample == 2 else embedding

    def labels_of(self, slots: Tensor) -> Tensor:
        """Labels (B, h, w) at the size of the embedding, at that of the buffer."""
        return halved_labels(slots) if self.downsample == 2 else slots

    def costs(self, grid: tuple[int, int], frames: int) -> dict[str, object]:
        """Costs of all layers for an embedding of ``grid`` cells and so many frames, the current one among them.

        Returns:
            As the paper's Table 1 counts, all frames asking in every layer: ``pairs`` of one head, ``products_g`` and
            ``projections_g`` (with the position-wise networks), multiply-accumulates in 10^9, and ``score_map_mib`` of
            the largest layer, one head, float32; and under ``done`` the same of what is computed for one frame.
        """
        size = half_size(grid) if self.downsample == 2 else grid
        whole, kept = [frames] * len(self.layers), self.cache == "layers"
        asking = [1] * len(self.layers) if kept else [*whole[1:], 1]
        return {**self.costs_of(size, frames, whole), "done": self.costs_of(size, frames, asking, kept)}

    def costs_of(self, size: tuple[int, int], frames: int, asking: Sequence[int], kept: bool = False) -> dict:
        """Costs where so many last frames ask in each layer; ``kept``: keys and values of other frames are there."""
        pairs = [layer.attention.pairs((frames, *size), causal=self.causal, query_frames=count)
                 for layer, count in zip(self.layers, asking, strict=True)]
        channels = self.layers[0].query.in_features
        # Query, output and the two maps of the position-wise network; key and value.
        maps = sum(4 * count + 2 * (count if kept else frames) for count in asking)
        return {"pairs": sum(pairs), "products_g": 2 * channels * sum(pairs) / 1e9,
                "projections_g": maps * size[0] * size[1] * channels ** 2 / 1e9,
                "score_map_mib": 4 * max(pairs) / 2 ** 20}

    def run_anew(self, x: Tensor, buffer: Sequence[MemoryEntry], labels: Tensor | None, frame: int,
                 count: int, origin: int) -> tuple[Tensor, list[Tensor], dict[str, Tensor]]:
        """All layers over buffer and current frame (B, C, h, w): tokens (B, h, w, C), affinities, what is kept."""
        grid = tuple(x.shape[-2:])
        frames = [*(entry["embedding"].unflatten(2, grid) for entry in buffer), x]
        tokens = torch.stack(frames, dim=1).permute(0, 1, 3, 4, 2)
        numbers = [origin + number for number in (*(entry.frame for entry in buffer), frame)]
        tokens = tokens + self.position(numbers, grid, tokens)
        affinities = []
        for number, layer in enumerate(self.layers):
            last = number == len(self.layers) - 1
            tokens, affinity = layer(tokens, labels, count, query_frames=1 if last else None)
            affinities += self.reduced(affinity, layer)
        return tokens[:, -1], affinities, {"embedding": x.flatten(2)}

    def run_cached(self, x: Tensor, buffer: Sequence[MemoryEntry], labels: Tensor | None, frame: int,
                   count: int, origin: int) -> tuple[Tensor, list[Tensor], dict[str, Tensor]]:
        """The layers for the current frame alone, with keys and values that were kept: as :meth:`run_anew`."""
        grid = tuple(x.shape[-2:])
        tokens = x.permute(0, 2, 3, 1)[:, None]
        tokens = tokens + self.position([origin + frame], grid, tokens)
        affinities, kept = [], {}
        for number, layer in enumerate(self.layers):
            before = [torch.stack([entry[f"{name}{number}"].unflatten(2, grid) for entry in buffer], dim=2)
                      if buffer else None for name in "kv"]
            tokens, affinity, own = layer.go_on(tokens, before, labels, count)
            affinities += self.reduced(affinity, layer)
            kept.update({f"{name}{number}": value[:, :, 0].flatten(2) for name, value in zip("kv", own, strict=True)})
        return tokens[:, 0], affinities, kept

    def reduced(self, affinity: Tensor | None, layer: SSTLayer) -> list[Tensor]:
        """(B, heads, S, h, w) of one layer as (B, S, K, h, w), if there is one."""
        if affinity is None:
            return []
        if self.heads_kept == "all":
            return [affinity.transpose(1, 2)]
        return [layer.score.best(affinity, dim=1)[:, :, None]]
