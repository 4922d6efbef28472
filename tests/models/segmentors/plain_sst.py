"""SST written out: loops over layers and cells, whole videos in lists, no operator. Encoder and decoder are shared.

One video at a time, in float64. Attention follows the sets of the paper's section 3 as they are written.
"""

import itertools

import torch
import torch.nn.functional as F


def sees(kind, h, p, r):
    """Whether cell p sees cell r, both (t, y, x)."""
    away = [abs(a - b) for a, b in zip(p, r, strict=True)]
    if kind == "GridAttention":
        return sum(d == 0 for d in away) >= 2
    if kind == "LocalAttention":
        return max(away[1:]) < h
    return kind == "DenseAttention" or (away[1] % h == 0 and away[2] % h == 0)


def position_of(cfg, table, frame, y, x, size, channels):
    """P of one cell (C,): Eq. 2."""
    kind, axes = cfg.get("type", "SinusoidalPosition"), cfg.get("axes", ("t", "y", "x"))
    place = dict(t=frame, y=y, x=x)
    if kind == "NoPosition":
        return torch.zeros(channels, dtype=torch.float64)
    if kind == "LearnedPosition":
        total = table["t"][min(frame, len(table["t"]) - 1)]
        for axis, length in (("y", size[0]), ("x", size[1])):
            rows = table[axis]
            at = place[axis] * (len(rows) - 1) / max(1, length - 1)
            low = min(int(at), len(rows) - 2)
            total = total + rows[low] + (at - low) * (rows[low + 1] - rows[low])
        return total
    pairs = [channels // 2 // len(axes) + (n < channels // 2 % len(axes)) for n in range(len(axes))]
    parts = []
    for axis, count in zip(axes, pairs, strict=True):
        for i in range(count):
            angle = torch.tensor(place[axis] / 10_000 ** (2 * i / (2 * count)), dtype=torch.float64)
            parts += [angle.sin(), angle.cos()]
    return torch.stack(parts)


def frn(module, x):
    """Filter response norm of one frame (cells, C)."""
    y = module.gamma * x / (x.square().mean(dim=0) + module.eps).sqrt() + module.beta
    return torch.maximum(y, module.tau)


class PlainSST:
    """The video of one model: what was seen, and what was said of it.

    Args:
        model: an SST, for its weights.
        cfg: config of the model.
    """

    def __init__(self, model, cfg):
        self.model, self.cfg = model, cfg
        self.frames = []  # per frame: embedding (C, h, w), half (C, h', w'), ids (h, w), half ids, given
        self.ids = []
        self.count = 0

    # Sizes and labels

    def half(self, x):
        size = (x.shape[-2] // 2 + 1, x.shape[-1] // 2 + 1)
        return F.interpolate(x[None], size=size, mode="bilinear", align_corners=True)[0]

    @staticmethod
    def sampled(labels, size):
        """Cell i takes cell floor(i in / out)."""
        return torch.stack([torch.stack([labels[i * labels.shape[0] // size[0], j * labels.shape[1] // size[1]]
                                         for j in range(size[1])]) for i in range(size[0])])

    # The encoder

    def buffer(self):
        """Numbers of the frames before this one that are seen."""
        memory = self.cfg.memory
        seen = list(range(len(self.frames)))
        last = seen[-memory.max_frames :]
        if not memory.get("keep_prompts", True):
            return last
        given = [t for t in seen[: -memory.max_frames] if self.frames[t]["given"]]
        return given[-memory.max_prompts :] + last

    def attend(self, layer, cfg, tokens, frames, slots, count):
        """One layer over all frames: tokens by (t, y, x) -> the same, and the affinity of the current frame's cells."""
        options, head = self.cfg.matching_head, self.model.matching_head
        heads, causal, last = head.heads, head.causal, max(t for t, _, _ in tokens)
        q, k, v = ({cell: module(x).unflatten(0, (heads, -1)) for cell, x in tokens.items()}
                   for module in (layer.query, layer.key, layer.value))
        score, scale = options.get("score", "dot"), (q[(last, 0, 0)].shape[1] ** -0.5 if options.get("scaled") else 1)
        out, affinity = {}, {}
        for p in tokens:
            parts = []
            for n in range(heads):
                own = cfg
                if cfg["type"] == "MixedHeadsAttention":
                    own = cfg["parts"][n * len(cfg["parts"]) // heads]
                seen = [r for r in tokens if sees(own["type"], own.get("h"), p, r) and not (causal and r[0] > p[0])]
                scores = torch.stack([q[p][n] @ k[r][n] for r in seen]) * scale
                weights = scores.softmax(dim=0)
                parts.append(weights @ torch.stack([v[r][n] for r in seen]))
                if p[0] != last:
                    continue
                for s in range(count):
                    mine = [i for i, r in enumerate(seen) if r[0] < last and slots[r] == s]
                    affinity[n, s, p[1], p[2]] = self.score(score, layer, q[p][n], [k[seen[i]][n] for i in mine],
                                                            scores[mine], weights[mine], s)
            out[p] = layer.out(torch.cat(parts))
        return self.fed(layer, tokens, out), affinity

    def score(self, kind, layer, q, keys, scores, weights, slot):
        """What one head says of one cell and one slot."""
        if kind == "dot":
            return max([torch.zeros((), dtype=q.dtype), *scores])
        if kind == "softmax":
            return max([torch.zeros((), dtype=q.dtype), *weights])
        if kind == "cosine":
            return max([-torch.ones((), dtype=q.dtype), *(q @ k / q.norm() / k.norm() for k in keys)])
        bias = layer.score.object_bias[0] if slot else layer.score.background_bias[0]
        return min([torch.ones((), dtype=q.dtype),
                    *(2 * (torch.sigmoid((q - k).square().sum() + bias) - 0.5) for k in keys)])

    def fed(self, layer, tokens, out):
        """Add and norm, the position-wise network, add and norm; filter response norms see one frame at a time."""
        result = {}
        for t in {t for t, _, _ in tokens}:
            cells = [cell for cell in tokens if cell[0] == t]

            def norm(module, x):
                return frn(module, x) if hasattr(module, "tau") else module(x)

            x = norm(layer.norm1, torch.stack([tokens[c] + out[c] for c in cells]))
            x = norm(layer.norm2, x + layer.reduce(norm(layer.activation, layer.expand(x))))
            result.update(zip(cells, x, strict=True))
        return result

    def encode(self, embedding, count):
        """Features (C, h, w) of the current frame, and matched values (S, M, h, w)."""
        options, head = self.cfg.matching_head, self.model.matching_head
        own, size = self.half(embedding), tuple(embedding.shape[-2:])
        seen = self.buffer()
        maps = [*(self.frames[t]["half"] for t in seen), own]
        numbers = [*seen, len(self.frames)]
        grid = tuple(own.shape[-2:])
        tables = getattr(head.position, "tables", None)
        tokens = {}
        for t, y, x in itertools.product(range(len(maps)), range(grid[0]), range(grid[1])):
            tokens[t, y, x] = maps[t][:, y, x] + position_of(options.get("position") or {}, tables, numbers[t], y, x,
                                                             grid, len(own))
        slot_of = {0: 0, **{value: n for n, value in enumerate(self.ids, 1)}}
        slots = {(t, y, x): slot_of.get(int(self.frames[seen[t]]["half_ids"][y, x]), -1) if t < len(seen) else -1
                 for t, y, x in tokens}
        values = []
        for layer, cfg in zip(head.layers, options.attentions, strict=True):
            tokens, affinity = self.attend(layer, cfg, tokens, numbers, slots, count)
            places = itertools.product(range(head.heads), range(count), *map(range, grid))
            maps = torch.stack([affinity[place] for place in places])
            maps = maps.view(head.heads, count, *grid)
            maps = maps.amin(dim=0) if options.get("score") == "distance" else maps.amax(dim=0)
            values.append(F.interpolate(maps[None], size=size, mode="bilinear", align_corners=True)[0])
        out = torch.stack([tokens[len(seen), y, x] for y, x in itertools.product(*map(range, grid))])
        features = out.t().unflatten(1, grid)
        features = F.interpolate(features[None], size=size, mode="bilinear", align_corners=True)[0]
        before = self.frames[-1]["ids"]
        mask = torch.stack([(before == value).double() for value in (0, *self.ids)])
        if not options.get("affinity", True):
            return features, mask[:, None]
        best = torch.amin if options.get("score") == "distance" else torch.amax
        rest = [[r for r in range(count) if r != s] for s in range(count)]
        others = [torch.stack([best(v[others], dim=0) for others in rest]) for v in values]
        return features, torch.stack([*values, *others, mask], dim=1)

    # The decoder's input

    def vector(self, value):
        """Means over references inside and outside of an object, over the previous frame inside and outside."""
        parts = []
        for frames in ([f for f in self.frames if f["given"]], self.frames[-1:]):
            for inside in (True, False):
                total = sum(f["embedding"][:, (f["ids"] == value) == inside].sum(dim=1) for f in frames)
                number = sum(int(((f["ids"] == value) == inside).sum()) for f in frames)
                parts.append(total / (number + 1e-5))
        return torch.cat(parts)

    def logits(self, embedding, low, rows):
        """(S, 2, h, w)."""
        count, decoder = len(self.ids) + 1, self.model.decoder
        features, matches = self.encode(embedding, count)
        inputs, previous = [], self.frames[-1]
        for value in (0, *self.ids):
            mask = (previous["ids"] == value).double()
            maps = {"embedding": [embedding], "encoder": [features],
                    "previous": [previous["embedding"] * mask, previous["embedding"] * (1 - mask)]}
            inputs.append(torch.cat([x for name in self.cfg.get("features", ("embedding", "encoder"))
                                     for x in maps[name]]))
        x = torch.cat([torch.stack(inputs), decoder.prehead(matches)], dim=1)
        return decoder(x, torch.stack([self.vector(value) for value in (0, *self.ids)]), low, rows)

    # Frames

    def step(self, frame, prompt, native, rows_of):
        """One frame (1, 3, H, W); ``prompt``: object id -> mask of native size. Returns (O + 1, H, W) logits."""
        encoded = self.model.encoder(frame)
        embedding, low = encoded.embedding[0], encoded.pyramid[self.model.encoder.low_level]
        merged, labels = None, torch.zeros(native, dtype=torch.long)
        if self.frames:
            two = self.logits(embedding, low, rows_of(len(self.ids) + 1))
            merged = two[:, 0].clone()
            merged[0] += two[1:, 1].amin(dim=0)
            merged = F.interpolate(merged[None], size=native, mode="bilinear", align_corners=True)[0]
            labels = torch.tensor([0, *self.ids])[merged.argmax(dim=0)]
        for value, mask in prompt.items():
            labels[mask > 0] = value
            self.ids.append(value)
        if self.frames or prompt:
            ids = self.sampled(labels, tuple(embedding.shape[-2:]))
            half = self.half(embedding)
            self.frames.append(dict(embedding=embedding, half=half, ids=ids, given=bool(prompt),
                                    half_ids=self.sampled(ids, tuple(half.shape[-2:]))))
        return merged
