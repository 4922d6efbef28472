"""What parts of networks answer when they are asked: one question for each kind and role."""

import copy
from collections.abc import Callable
from typing import Any

import torch

from vosplug import registry
from vosplug.models.encoders import FrameFeatures
from vosplug.models.frame_run import FrameRun
from vosplug.models.gates import GateInput
from vosplug.models.matching_heads.sst_encoder import half_size
from vosplug.models.memories import FrameBank
from vosplug.registry import PREPROCESSORS, SEGMENTORS
from vosplug.structures import Rows, RowStore, VideoState

from .helpers import boxes, random_frames, track, training_batch
from .parts import CELLS, CK, CV, FRAME, entry_of, memory_of, pyramid_of, rows_of
from .test_losses import clip_with_notes, features_for
from .test_slots import buffer_of

PROBES: dict[tuple[str, str], Callable[[Any], Any]] = {}
SIZE, BOTH = (6, 8), [[True, True]]
TABLE = [[True, True], [False, True]]


def probe(kind: registry.Kind, role: str = "") -> Callable:
    """Decorator: the function asks the parts of a kind that have a role, and returns what they answered."""

    def decorate(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        PROBES[kind.name, role] = function
        return function

    return decorate




@probe(registry.LAYERS, "samples")
def samples(part):
    """Of two objects, one of them small."""
    maker = PREPROCESSORS.build(dict(type="VOSPreprocessor", divisor=1))
    frame, _ = maker.frames(random_frames(1, (40, 48)))
    found = []
    for side in (2, 16):
        mask = torch.zeros(40, 48)
        mask[10 : 10 + side, 12 : 14 + side] = 1
        found.append(part(frame[0], mask, (0, 1, 2), maker))
    return found


@probe(registry.LOSSES)
def loss(part):
    """As the training weighs it, at its begin, at its end and between, on a clip with void pixels and all notes."""
    record, _ = clip_with_notes()
    record.frames[0].labels[:, 0] = 255
    found = []
    for iteration in (0, 1, 30_000, 60_000, 100_000):
        if hasattr(part, "set_progress"):
            part.set_progress(iteration, 100_000)
        found += [part.weight * part(record), part.numbers(record)]
    return found


@probe(registry.LOSSES, "pair")
def pair_loss(part):
    """Of random features and logits."""
    student, teacher = features_for(part), features_for(part, seed=1)
    part.prepare(student, teacher)
    return part.weight * part(student, teacher)


@probe(registry.GATES)
def gate(part):
    """Of ten frames that drift away from what the gate remembers."""
    store, rows, draw = RowStore(), rows_of(BOTH), torch.Generator().manual_seed(4)
    early, step = torch.randn(2, 1, 4, *SIZE, generator=draw)
    dissimilarity = torch.randn(2, 6, *SIZE, generator=draw)
    part.remember(store, rows, early)
    last = min((len(x) for x in (getattr(part, "table", None) or {}).values()), default=10)
    found = []
    for frame in range(last):
        inputs = GateInput(rows=rows, frame=frame, features=early + 0.01 * frame * step, store=store,
                           dissimilarity=dissimilarity if part.compares else None)
        probability = part(inputs)
        found += [probability, part.sample(probability)]
    return found


@probe(registry.MEMORIES)
def memory(part):
    """What is in the memory after each of 24 frames, of which three start objects; video and clip."""
    found = []
    for training in (False, True):
        head = registry.MATCHING_HEADS.build(dict(type="L2Matching"))
        held = part.new(training=training, similarity=head.similarity_of)
        for frame in range(24):
            prompted = frame in (0, 2, 11)
            found += [held.wants(frame, prompted=prompted, last=False), held.is_kept(frame, prompted)]
            if found[-2]:
                held.add(entry_of(frame, objects=1 if frame < 11 else 2, prompted=prompted))
            held.note_reading(list(held), lambda held=held: torch.arange(float(held.tokens))[None], 1.0)
            found += [[(e.frame, e.tokens, e["value"]) for e in held], held.latest and held.latest.frame]
    return found


@probe(registry.MEMORIES, "target")
def target_model(part):
    """Samples of a first frame, and target models of a large and a small object after ten more frames."""
    found = [samples(part.augmentation)]
    for training, side in ((False, 8), (False, 2), (True, 8)):
        held, masks = part.new(training=training), torch.zeros(3, 16, 24)
        masks[:, 2 : 2 + side, 3 : 3 + side] = 1
        held.start((0, 0), (1, 0), torch.randn(3, 5, 4, 6), masks)
        model = held.targets[0, 0]
        for frame in range(1, 11):
            mask = (torch.arange(16 * 24) < 3 * frame).view(16, 24).float()
            held.update(model, torch.randn(model.hidden.shape[1:]), mask)
            found.append(held.is_kept(frame, False))
        found += [model.project, model.filter, model.weights, model.used]
    return found


@probe(registry.MATCHING_HEADS)
def matching_head(part):
    """What it reads of eight frames."""
    query = torch.randn(1, CK, *CELLS)
    return part(query, memory_of(FrameBank(every=1), frames=8, head=part), rows_of(BOTH), 8, selection=None)


@probe(registry.MATCHING_HEADS, "propagation")
def propagation(part):
    """Of a first frame, and of a second one that reads two."""
    x, identity = torch.randn(2, 3, 16, 5, 7)
    output, tokens = part.reference(x, identity)
    again, drafts = part(x.flip(-1), [[pair, pair] for pair in tokens], tokens)
    return output, again, part.complete(drafts, identity)


@probe(registry.MATCHING_HEADS, "slots")
def slot_matching(part):
    """Of two frames of reference and the one before."""
    x, before = torch.rand(2, 2, 8, 12, 16)
    slots = torch.randint(-1, 2, (2, 12, 16))
    references = [(torch.rand(2, 8, 192), torch.randint(-1, 2, (2, 192))) for _ in range(2)]
    return part(x, references, before, slots, 3)


@probe(registry.MATCHING_HEADS, "buffer")
def buffer_encoder(part):
    """Of three frames in the buffer."""
    size = (8, 10)
    entries, slots = buffer_of(part, half_size(size) if part.downsample == 2 else size)
    found = part(torch.randn(2, 8, *size), entries, slots, torch.randint(-1, 2, (2, *size)), 7, 3)
    return found.features, found.matches, found.kept


@probe(registry.MATCHING_HEADS, "template")
def template_matching(part):
    """Of another frame."""
    feature, score = torch.randn(3, 5, *SIZE), torch.rand(3, 1, *SIZE)
    return part(feature.flip(-1), score, part.template(feature, score))


@probe(registry.MATCHING_HEADS, "template attention")
def template_attention(part):
    """Of another frame."""
    feature, masks = torch.randn(3, 5, *SIZE), torch.rand(3, 6, *SIZE)
    return part(feature.flip(-1), masks, part.template(feature, masks))


@probe(registry.ATTENTIONS)
def attention(part):
    """Of a clip, and of its last frame."""
    q, k, v = torch.randn(3, 1, 8, 3, 6, 7)
    return part(q, k, v, heads=2).out, part(q[:, :, -1:], k, v, heads=2, query_frames=1, causal=True).out


@probe(registry.BACKBONES)
def backbone(part):
    """The pyramid of an odd frame."""
    pyramid = part(torch.randn(2, 3, 37, 51))
    return pyramid, [(name, level.channels, level.stride) for name, level in part.levels.items()]


@probe(registry.ENCODERS, "keys")
def key_encoder(part):
    """What comes at first, and all of it."""
    frame = torch.randn(2, 3, *FRAME)
    return list(part.shallow(frame).pyramid), vars(part(frame))


@probe(registry.ENCODERS, "values")
def value_encoder(part):
    """Of three rows of two frames."""
    base = torch.randn(2, 11, *CELLS)
    return part(torch.randn(2, 3, *FRAME), base, torch.rand(2, 2, *FRAME), rows_of(TABLE))


@probe(registry.ENCODERS, "projection")
def projected_encoder(part):
    """What comes at first, and all of it."""
    frame = torch.randn(2, 3, *FRAME)
    return list(part.shallow(frame)), part(frame)


@probe(registry.ENCODERS, "pixels")
def pixel_embedding(part):
    """What comes at first, and all of it."""
    frame = torch.randn(2, 3, *FRAME)
    return list(part.shallow(frame).pyramid), vars(part(frame))


@probe(registry.DECODERS)
def decoder(part):
    """Logits of three rows."""
    features = FrameFeatures(frame=torch.randn(2, 3, *FRAME), pyramid=pyramid_of(2), context=torch.randn(2, 3, *CELLS))
    rows = rows_of(TABLE)
    coarse = part.coarse(torch.randn(3, CV, *CELLS), features, rows, previous=torch.rand(2, 2, *FRAME))
    return coarse, part.fine(coarse, features, rows, FRAME)


@probe(registry.DECODERS, "groups")
def decoder_of_groups(part):
    """Logits of three rows."""
    pyramid, rows = pyramid_of(2), rows_of(TABLE)
    coarse = part.coarse(torch.randn(3, CV, *CELLS), torch.randn(2, 3, *CELLS), pyramid, rows)
    return coarse, part.fine(coarse, pyramid, rows)


@probe(registry.DECODERS, "score")
def refiner(part):
    """Logits of three rows of an odd frame."""
    features, score = pyramid_of(3, frame=(37, 51)), torch.randn(3, 1, 3, 4)
    coarse = part.coarse(features, score)
    return coarse, part.fine(features, score, coarse, (37, 51))


@probe(registry.DECODERS, "slots")
def decoder_of_slots(part):
    """Logits of five rows."""
    x = torch.cat([torch.randn(5, 6, 9, 13), part.prehead(torch.rand(5, 5, 9, 13))], dim=1)
    return part(x, torch.rand(5, 9), torch.rand(2, 3, 9, 13), rows_of([[True, True, False], [True, True, True]]))


@probe(registry.DECODERS, "template")
def decoder_of_templates(part):
    """All that it says of three rows."""
    deep, previous = torch.randn(2, 3, 12, *CELLS)
    coarse = part.coarse(deep, torch.randn(3, 6, *(2 * side for side in CELLS)), previous)
    attended, low = torch.randn(3, 8, 4, 6), torch.randn(2, 6, 8, 12)
    logits, joined, fine = part.fine(coarse, attended, low, rows_of(TABLE))
    return coarse, logits, part.share(joined), part.transition(fine), part.template_mask(attended)


@probe(registry.SPARSE_CONVS)
def sparse_conv(part):
    """Three frames of three rows, the first one dense, what was noted of them, and what they teach."""
    table, found = torch.ones(1, 3, dtype=torch.bool), []
    state, rows = VideoState(active=table, training=part.training), Rows.of_table(table, (1, 2, 3))
    part.name = "layer"
    for number in range(3):
        run = FrameRun(state)
        run.plan["dense"] = number == 0
        with torch.set_grad_enabled(part.training), run.working(), run.whose(rows):
            found.append((part(torch.randn(3, 4, 9, 7)), [note.counts() for note in run.notes]))
    if part.training:
        sum(x.square().sum() for x, _ in found).backward()
    return found, [p.grad for p in part.parameters()]


@probe(PREPROCESSORS)
def preprocessor(part):
    """There and back, of an odd size."""
    size = (33, 47)
    frames, geometry = part.frames(torch.randint(0, 256, (1, 3, *size), dtype=torch.uint8))
    back = part.restore(torch.rand(1, 2, *(side // 4 for side in geometry.network)), geometry)
    return frames, part.masks(boxes(2, size), geometry), back


@probe(SEGMENTORS)
def segmentor(model):
    """A video of six frames in which objects come, or the losses of a batch of clips at both ends of a training."""
    if not model.training:
        size = (33, 47)
        masks = boxes(3, size)
        return track(model, random_frames(6, size), {0: ((1,), masks[:, :1]), 2: ((2, 4), masks[:, 1:])})
    batch, found = training_batch(model, length=4), []
    for iteration in (0, 100):
        model.set_progress(iteration, 100) if hasattr(model, "set_progress") else None
        with torch.no_grad():
            found.append(model(**copy.deepcopy(batch), mode="loss"))
    return found
