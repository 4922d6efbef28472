"""DeAOT's gated propagation in two branches (Yang and Yang, 2022, section 4)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...registry import LAYERS, MATCHING_HEADS
from ...utils.errors import ConfigError
from ..frame_run import visible_run
from ..layers.attention import attend, attention_weights
from ..layers.drop_path import DropPath
from ..layers.gated_deformable_attention import GatedDeformableAttention
from ..layers.propagation import GatedOutput, ShortTermAttention, gated, to_map, to_tokens, xavier
from .propagation import Draft, LayerTokens, Propagation, layer_name


def attend_once(query: Tensor, keys: Sequence[Tensor], values: Sequence[Tensor]) -> Tensor:
    """Attention of one head: (R, L, Ck), frames of (R, N, Ck) and (R, N, Cv) -> (R, L, Cv)."""
    return attend(query[:, None], [k[:, None] for k in keys], [v[:, None] for v in values])[:, 0]


class GatedSelfAttention(nn.Module):
    """Gated attention between the cells of a frame, on both branches at once; queries are keys.

    Args:
        channels: of each branch.
        key_channels: of the keys.
        dropout: see :class:`~..layers.propagation.GatedOutput`.
    """

    def __init__(self, channels: int, key_channels: int, dropout: float):
        super().__init__()
        self.query_key = nn.Linear(2 * channels, key_channels)
        self.values = nn.ModuleList(nn.Linear(channels, 2 * channels) for _ in range(2))
        self.gates = nn.ModuleList(nn.Linear(channels, 2 * channels) for _ in range(2))
        self.out = GatedOutput(4 * channels, 2 * channels, dropout)

    def forward(self, visual: Tensor, identity: Tensor, size: tuple[int, int],
                deformable: GatedDeformableAttention | None = None) -> Tensor:
        """(R, L, C) twice -> (R, L, 2C)."""
        x = torch.cat([visual, identity], dim=-1)
        query, gate = self.query_key(x), self.both(self.gates, x)
        if deformable is None or "self" not in deformable.places:
            keys, values = [query], [self.both(self.values, x)]
        else:
            keys, values, _ = deformable("self", query, [(x,)], size, self.project)
        return self.out(attend_once(query, keys, values), gate, size)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Both branches (R, N, 2C) -> keys (R, N, Ck) and values (R, N, 4C)."""
        return self.query_key(x), self.both(self.values, x)

    @staticmethod
    def both(linears: nn.ModuleList, x: Tensor) -> Tensor:
        """A map of each branch, activated: (R, N, 2C) -> (R, N, 4C)."""
        return F.silu(torch.cat([linear(part) for linear, part in zip(linears, x.chunk(2, dim=-1), strict=True)], -1))


class GatedPropagationBlock(nn.Module):
    """Long- and short-term propagation of both branches with one attention map, then self-propagation.

    The first block has no identity branch to start from: its ID gate is one, its ID values come from the masks alone.

    Args:
        channels, radius, drop_path, dropout, deformable: see :class:`GatedPropagation`.
        first: whether this is the first block.
        name: of what the block publishes.

    Attributes:
        tensors: what the memory keeps of a frame, in this order: ``x``, inputs of the projections (R, L, 2C, later
            blocks 3C), if some place samples features; keys ``k`` and values ``v``, if some place reads those.
        recent_only: those of them that long-term frames are not asked for.
    """

    def __init__(self, channels: int, radius: int, drop_path: float, dropout: float, first: bool,
                 deformable: dict | None = None, name: str = "propagation"):
        super().__init__()
        self.channels, self.first, self.name = channels, first, name
        sampling = build_sampling(deformable, channels)
        self.tensors, self.recent_only = kept_tensors(sampling)
        self.norm = nn.LayerNorm(channels)
        self.query_value = nn.Linear(channels, channels // 2 + 2 * channels)
        self.gate = nn.Linear(channels, 2 * channels)
        self.id_value = nn.Linear(channels if first else 2 * channels, 2 * channels)
        if not first:
            self.id_norm = nn.LayerNorm(channels)
            self.id_gate = nn.Linear(channels, 2 * channels)
        self.long_out = GatedOutput(4 * channels, 2 * channels, dropout)
        plain = sampling is not None and "short_term" in sampling.places and not sampling.relative_bias
        self.short_term = ShortTermAttention(channels // 2, 1, None if plain else radius)
        self.short_out = GatedOutput(4 * channels, 2 * channels, dropout)
        self.self_norm = nn.LayerNorm(channels)
        self.self_id_norm = nn.LayerNorm(channels)
        self.self_attention = GatedSelfAttention(channels, channels // 2, dropout)
        self.drop_path = DropPath(drop_path)
        xavier(self)
        self.deformable = sampling  # whose weights start in their own way

    def forward(self, x: Tensor, id_x: Tensor | None, size: tuple[int, int], long_term: Sequence[LayerTokens] = (),
                short_term: LayerTokens | None = None,
                identity: Tensor | None = None) -> tuple[Tensor, Tensor, Draft]:
        """Propagate both branches.

        Args:
            x: (R, L, C) tokens of the visual branch.
            id_x: (R, L, C) of the identity branch; None in the first block.
            long_term, short_term: memory, see :class:`~.propagation.Propagation`.
            identity: (R, L, C); the frame is its own memory then.

        Returns:
            Both branches, and the draft, or with ``identity`` what the memory keeps.
        """
        visual = self.norm(x)
        id_visual = None if self.first else self.id_norm(id_x)
        query, draft = self.draft(visual, id_visual)
        gate = F.silu(self.gate(visual) if self.first else torch.cat([self.gate(visual), self.id_gate(id_visual)], -1))
        if identity is not None:
            short_term = self.complete(draft, identity)
            long_term = [short_term]
        keys, values, _ = self.read("long_term", query, long_term, size)
        read = attend_once(query, keys, values)
        if identity is None:
            self.publish(query, keys, read, gate, size)
        long = self.long_out(read, gate, size)
        keys, values, grid = self.read("short_term", query, [short_term], size)
        short = self.short_out(self.short_term(query, keys[0], values[0], size, grid), gate, size)
        change, id_change = (long + short).chunk(2, dim=-1)
        x, id_x = x + change, id_change if id_x is None else id_x + id_change
        change = self.self_attention(self.self_norm(x), self.self_id_norm(id_x), size, self.deformable)
        change, id_change = change.chunk(2, dim=-1)
        x, id_x = x + self.drop_path(change), id_x + self.drop_path(id_change)
        return x, id_x, draft if identity is None else short_term

    def read(self, place: str, query: Tensor, frames: Sequence[LayerTokens],
             size: tuple[int, int]) -> tuple[Sequence[Tensor], Sequence[Tensor], tuple[int, int]]:
        """Keys and values of memory frames that a place reads, and the grid that they lie on."""
        if self.deformable is None:
            keys, values = zip(*(frame[-2:] for frame in frames), strict=True)
            return keys, values, size
        return self.deformable(place, query, frames, size, self.project)

    def draft(self, visual: Tensor, id_visual: Tensor | None) -> tuple[Tensor, Draft]:
        """The query (R, L, C/2), and what is needed to make the :attr:`tensors` once the masks are known.

        Of the projection, only what is needed is computed: without keys and values in memory, values are projected
        where they are sampled.
        """
        inputs = (visual,) if "x" in self.tensors else ()
        ids = () if id_visual is None else (id_visual,)
        if "v" not in self.tensors:
            width = self.channels // 2
            query = F.linear(visual, self.query_value.weight[:width], self.query_value.bias[:width])
            return query, (*inputs, *ids)
        query, value = self.keys_values(visual)
        return query, (*inputs, *ids, query, value)

    def publish(self, query: Tensor, keys: Sequence[Tensor], read: Tensor, gate: Tensor,
                size: tuple[int, int]) -> None:
        """Publish the long-term attention of both branches, which share its weights (R, L, N), if that is asked for.

        Args:
            query, keys: (R, L, Ck), and of all frames (R, N_i, Ck).
            read: (R, L, 4C), what is read, both branches side by side (Eq. 6).
            gate: see :func:`~..layers.propagation.gated` (Eq. 7).
            size: (h, w) of the L cells.
        """
        run = visible_run()
        if run is None:
            return
        for branch, part in (("visual", slice(None, 2 * self.channels)), ("id", slice(2 * self.channels, None))):
            name = f"{self.name}.{branch}"
            run.tap(f"{name}.output", read[..., part], size)
            if run.asks(f"{name}.gated"):
                run.tap(f"{name}.gated", gated(read, gate)[..., part], size)
            if run.asks(f"{name}.weights"):
                run.tap(f"{name}.weights", attention_weights(query, keys), size)

    def complete(self, draft: Draft, identity: Tensor) -> LayerTokens:
        """What the memory keeps, see :attr:`tensors`. Keys as they are, or inputs; masks are in values and inputs."""
        kept, rest = [], list(draft)
        inputs = [rest.pop(0)] if "x" in self.tensors else []
        ids = torch.cat([identity] if self.first else [rest.pop(0), identity], dim=-1)
        if inputs:
            kept.append(torch.cat([*inputs, ids], dim=-1))
        if rest:
            key, value = rest
            # A view of the keys would keep what it was cut from.
            kept += [key.contiguous(), torch.cat([value, F.silu(self.id_value(ids))], dim=-1)]
        return tuple(kept)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs (R, N, 2C or 3C) -> keys (R, N, C/2) and values (R, N, 4C), visual and ID ones side by side."""
        visual, ids = x.split([self.channels, x.shape[-1] - self.channels], dim=-1)
        key, value = self.keys_values(visual)
        return key, torch.cat([value, F.silu(self.id_value(ids))], dim=-1)

    def keys_values(self, visual: Tensor) -> tuple[Tensor, Tensor]:
        """(R, N, C) -> keys, which are queries (R, N, C/2), and visual values (R, N, 2C)."""
        key, value = self.query_value(visual).split([self.channels // 2, 2 * self.channels], dim=-1)
        return key, F.silu(value)


def build_sampling(deformable: dict | None, channels: int) -> GatedDeformableAttention | None:
    """What moves the points of a block of ``channels``; raise :class:`ConfigError` for another layer."""
    if deformable is None:
        return None
    built = LAYERS.build(deformable, key_channels=channels // 2, channels=channels)
    if not isinstance(built, GatedDeformableAttention):
        raise ConfigError(f"GatedPropagation.deformable must be a GatedDeformableAttention, got "
                          f"{type(built).__name__}")
    return built


def kept_tensors(deformable: GatedDeformableAttention | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """``tensors`` and ``recent_only`` of a block, see :class:`GatedPropagationBlock`."""
    inputs, pair = ("x",), ("k", "v")
    if deformable is None:
        return pair, ()
    long, short = (inputs if deformable.samples_features(place) else pair for place in ("long_term", "short_term"))
    return (long, ()) if long == short else (inputs + pair, short)


@MATCHING_HEADS.register_module(role="propagation", examples=[
    *(dict(layers=layers, radius=1) for layers in (1, 2)),
    *(dict(layers=2, radius=1, deformable=dict(type="GatedDeformableAttention", groups=2, **options)) for options in (
        dict(), dict(resample="keys_values", grid_factor=1), dict(places=("long_term", "self")),
        dict(places=["short_term"], relative_bias=False, offsets=False)))])
class GatedPropagation(Propagation):
    """Layers of :class:`GatedPropagationBlock`; both branches of the last one, normalised, go to the decoder.

    Args:
        key_channels: of frames' features and identities; given by the segmentor.
        layers: number of layers (DeAOT-T 1, S 2, B and L 3).
        radius: of the short-term window, in cells.
        drop_path: rate of stochastic depth, per clip.
        dropout: rate at which whole channels are left out before the last linear map of each propagation.
        deformable: config (kind ``layer``) of a :class:`~..layers.GatedDeformableAttention`, which every layer gets; or
            None: keys and values are those of all cells.
    """

    def __init__(self, key_channels: int = 256, layers: int = 1, radius: int = 7, drop_path: float = 0.1,
                 dropout: float = 0.1, deformable: dict | None = None):
        super().__init__()
        self.out_channels = 2 * key_channels
        self.blocks = nn.ModuleList(
            GatedPropagationBlock(key_channels, radius, drop_path, dropout, first=number == 0, deformable=deformable,
                                  name=layer_name(number))
            for number in range(layers))
        self.tensors, self.recent_only = kept_tensors(self.blocks[0].deformable)
        self.norm = nn.GroupNorm(2, 2 * key_channels)

    def run(self, x: Tensor, memories: Sequence[dict]) -> tuple[Tensor, list[Draft]]:
        size = tuple(x.shape[-2:])
        tokens, id_tokens, kept = to_tokens(x), None, []
        for block, memory in zip(self.blocks, memories, strict=True):
            tokens, id_tokens, tensors = block(tokens, id_tokens, size, **memory)
            kept.append(tensors)
        return self.norm(to_map(torch.cat([tokens, id_tokens], dim=-1), size)), kept
