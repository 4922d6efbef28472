"""What AOT's and DeAOT's propagation have in common."""

from collections.abc import Sequence

from torch import Tensor, nn

from ..frame_run import visible_run
from ..layers.propagation import to_tokens

LayerTokens = tuple[Tensor, ...]  # of one layer and frame: keys (R, N, Ck) and values (R, N, Cv), or what a head names
Draft = tuple[Tensor, ...]  # what a block needs to make keys and values once the masks are known
OUTPUT = "propagation.output"  # feature: what all layers give to the decoder


def layer_name(number: int) -> str:
    """What the features of a layer begin with."""
    return f"propagation.{number}"


class Propagation(nn.Module):
    """Layers that propagate identities from a memory of frames to the current one.

    A pass over a frame gives, for every layer, what the memory may take of it: drafts of a pass without identities,
    which :meth:`complete` turns into keys and values once the masks are known, or keys and values at once of a
    :meth:`reference` pass, whose memory is the frame itself.

    Attributes:
        blocks: the layers; each has a method ``complete(draft, identity)``.
        out_channels: of what :meth:`forward` returns.
        tensors: names of what the memory keeps of a layer and a frame: keys and values, by default.
        recent_only: those of them that are read of the last frame alone.
    """

    tensors: tuple[str, ...] = ("k", "v")
    recent_only: tuple[str, ...] = ()

    blocks: nn.ModuleList
    out_channels: int

    def run(self, x: Tensor, memories: Sequence[dict]) -> tuple[Tensor, list[Draft]]:
        """Run all blocks on (R, C, h, w): (R, out_channels, h, w) and what each block hands out.

        Args:
            x: features of the frame, for every row.
            memories: the memory of each block, as options of its ``forward``.
        """
        raise NotImplementedError

    def forward(self, x: Tensor, long_term: Sequence[Sequence[LayerTokens]],
                short_term: Sequence[LayerTokens]) -> tuple[Tensor, list[Draft]]:
        """Propagate from memory.

        Args:
            x: (R, C, h, w) features of the frame, for every row.
            long_term: for every layer, keys and values of the long-term frames.
            short_term: for every layer, keys and values of the last frame.

        Returns:
            (R, out_channels, h, w) and the draft of every layer.
        """
        output, drafts = self.run(x, [dict(long_term=long, short_term=short)
                                      for long, short in zip(long_term, short_term, strict=True)])
        run = visible_run()
        if run is not None:
            run.tap(OUTPUT, output)
        return output, drafts

    def reference(self, x: Tensor, identity: Tensor) -> tuple[Tensor, list[LayerTokens]]:
        """Propagate within a frame whose masks are given: (R, C, h, w), identity embedding (R, C, h, w).

        Returns:
            (R, out_channels, h, w), and keys and values of every layer.
        """
        return self.run(x, [dict(identity=to_tokens(identity))] * len(self.blocks))

    def complete(self, drafts: Sequence[Draft], identity: Tensor) -> list[LayerTokens]:
        """Keys and values of every layer, from the drafts of a pass and the identity embedding (R, C, h, w)."""
        tokens = to_tokens(identity)
        return [block.complete(draft, tokens) for block, draft in zip(self.blocks, drafts, strict=True)]
