"""Bad input of FRTM and of reuse gates: one clear line each, and status 2."""

import pytest

from tests.bad_inputs_helpers import (
    CLIP,
    SETS,
    Bad,
    both,
    change,
    check_bad,
    check_good,
    cut,
    make_world,
    mask,
    remove,
    run_line,
)
from vosplug.inference import build_segmentor
from vosplug.registry import SEGMENTORS
from vosplug.utils.checkpoint import save_checkpoint_file

STATS = "model_stats gated.py --shape 40 64"
TEST = "test gated.py gated.pth --device cpu --eval davis"
DEMO = "demo gated.py gated.pth images --device cpu --mask first.png --out o.mp4 --show-gate"
PLOT = "plot_gate gated.py gated.pth --data-root davis --device cpu --out plots --taus 1"
FRTM = "test frtm.py frtm.pth --device cpu --eval davis"
TABLED = "demo table.py table.pth images --device cpu --mask first.png --out t.mp4"
TABLE = "{'type': 'ScheduledGate', 'table': {1: [0, 1, 1, 1], 2: [0, 1, 1, 1]}}"


def option(new, name, says, line=STATS):
    """A gated model with another option."""
    return Bad(name, line, says, change("gated.py", "'tau': 0.3", new))


def memory(new, name, says, line=FRTM, also=lambda world: None, **more):
    """An FRTM whose target models have an option more."""
    changed = change("frtm.py", "'type': 'TargetModel'", f"'type': 'TargetModel', {new}")
    return Bad(name, line, says, both(changed, also), **more)

ALL = [
    option("'tau': 1.5", "tau-above-one", ("ReuseGated.tau must lie in 0..1", "got 1.5")),
    option("'tau': [0.5, -0.1]", "tau-of-a-frame", ("ReuseGated.tau must lie in 0..1", "-0.1")),
    option("'tau': [0.5, 0.5]", "taus-shorter-than-the-video", ("ReuseGated.tau has 2 numbers", "frame 3"), TEST),
    option("'tau': 0.3, 'mode': 'translation'", "mode-misspelt", ("mode must be one of translate, copy, fusion",
                                                                  "Did you mean 'translate'")),
    option("'tau': 0.3, 'tau_copy': 0.9", "second-threshold-without-fusion", ("tau_copy belongs to mode='fusion'",)),
    option("'tau': 0.3, 'mode': 'fusion'", "fusion-without-second-threshold", ("mode='fusion', which needs it",)),
    option("'tau': 0.3, 'mode': 'fusion', 'tau_copy': 0.2", "second-threshold-below",
           ("tau_copy must be above tau (0.3)", "got 0.2")),
    option("'tau': 0.3, 'max_reuse': 0", "no-reuse-in-a-row", ("max_reuse must be a whole number of at least 1",)),
    option("'tau': 0.3, 'on_memory_frame': 'skip'", "memory-frames", ("on_memory_frame must be one of reuse, full",)),
    option("'tau': 0.3, 'translator': {'type': 'RefineTranslator', 'hidden': 9}", "translator-that-does-not-fit",
           ("hidden must lie between 0 and 8",)),
    option("'tau': 0.0, 'delta': {'type': 'DeltaGenerator', 'stride': 1}", "change-of-another-size",
           ("its stride must be 16 / 8",), TEST),
    option("'tau': 0.3, 'gate': {'type': 'ReuseGates'}", "gate-misspelt", ("ReuseGates", "Did you mean")),
    option("'tau': 0.3, 'gate': {'type': 'ReuseGate', 'rate': 1}", "option-of-the-gate", ("no option 'rate'",)),
    option("'tau': 0.3, 'gate': {'type': 'ReuseGate', 'initial_rate': 1.0}", "initial-rate",
           ("initial_rate must lie",)),
    Bad("table-shorter-than-the-video", TABLED, ("only 3 entries for object 1, but frame 3",),
        change("table.py", "[0, 1, 1, 1], 2", "[0, 1, 1], 2")),
    Bad("table-without-an-object", "test table.py table.pth --device cpu --eval davis", ("no entry for object 2",),
        change("table.py", ", 2: [0, 1, 1, 1]", "")),
    Bad("no-cut", "model_stats uncut.py --shape 40 64", ("TinySegmentor cannot be gated", "no cut")),
    Bad("gate-around-instances", "model_stats uncut.py --shape 40 64", ("'EfficientVIS' is a VIS segmentor",),
        change("uncut.py", "TinySegmentor", "EfficientVIS")),
    Bad("rate-without-a-gate-counted", "model_stats frtm.py --shape 40 64 --reuse-rate 0.5", ("has no reuse gate",)),
    Bad("rate-without-a-gate-timed", "benchmark frtm.py --size 40 64 --frames 1 --device cpu --reuse-rate 0.5",
        ("--reuse-rate", "has no reuse gate")),
    Bad("rate-above-one", f"{STATS} --reuse-rate 1.5", ("0..1",)),
    Bad("marks-without-a-gate", DEMO.replace("gated", "frtm"), ("FRTM has no reuse gate",)),
    Bad("marks-without-a-video", DEMO.replace("o.mp4", "o"), ("--show-gate needs an overlay video",)),
    Bad("plot-without-a-gate", PLOT.replace("gated", "frtm"), ("FRTM has no reuse gate",)),
    Bad("oracle-without-masks", f"{PLOT} --gates oracle --set test-dev", ("video hidden has no reference masks",)),
    Bad("oracle-with-a-mask-missing", f"{PLOT} --gates oracle --modes copy --perfect", ("one", "00002"),
        remove("davis/Annotations/480p/one/00002.png")),
    Bad("plot-gate-misspelt", f"{PLOT} --gates orakel", ("expected some of own, oracle",), usage=True),
    Bad("plot-rate-of-nothing", f"{PLOT} --target-rate 2", ("0..1",), usage=True),
    Bad("plot-into-a-file", PLOT.replace("plots", "first.png"), ("--out first.png is not a folder",)),
    Bad("weights-of-the-ungated", TEST.replace("gated.pth", "frtm.pth"), ("missing", "frtm.pth")),
    Bad("weights-to-start-from", STATS, ("frtm.pth",), both(
        change("gated.py", "'tau': 0.3", "'tau': 0.3, 'segmentor_weights': 'frtm.pth'"), cut("frtm.pth"))),
    memory("'cache_dir': 'first.png/x'", "cache-that-cannot-be-written", ("cache_dir first.png/x cannot be written",)),
    memory("'cache_dir': 'cache'", "cache-that-is-stale", ("stale",), also=lambda world: spoilt_cache(world)),
    memory("'update_evry': 3", "option-of-target-models", ("no option 'update_evry'", "update_every")),
    memory("'learning_rate': 1.0", "learning-rate", ("learning_rate must lie between 0 and 1, got 1.0",)),
    memory("'formula': 'newton'", "formula", ("must be one of", "newton")),
    Bad("protocol", FRTM,
        ("protocol must be one of davis, youtube_vos",), change("frtm.py", "col': 'davis'", "col': 'ytvos'")),
    Bad("first-mask-of-another-size", DEMO, ("mask for frame 0 is 8x8",), mask("first.png", CLIP[0][1][:8, :8])),
]


def spoilt_cache(world):
    """Target models of an earlier run, under names of others."""
    assert run_line(FRTM) == 0
    paths = sorted((world.folder / "cache").rglob("*.pth"))
    assert len(paths) > 1
    first = paths[0].read_bytes()
    for path, after in zip(paths, paths[1:], strict=False):
        path.write_bytes(after.read_bytes())
    paths[-1].write_bytes(first)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """The tiny world, with a tiny FRTM, one behind a gate, one behind a table, and a gate around what has no cut."""
    made = make_world(tmp_path_factory.mktemp("reuse_template"))
    gated = SEGMENTORS.example("ReuseGated", tau=0.3, losses=[])
    for name, model in (("frtm", gated["segmentor"]), ("gated", gated)):
        (made / f"{name}.py").write_text(f"model = {model!r}\n{SETS}")
        save_checkpoint_file({"state_dict": build_segmentor(str(made / f"{name}.py"), seed=0).state_dict()},
                             made / f"{name}.pth")
    planned = f"model = {gated!r}\n{SETS}".replace("'tau': 0.3", f"'tau': 0.3, 'gate': {TABLE}")
    (made / "table.py").write_text(planned)
    save_checkpoint_file({"state_dict": build_segmentor(str(made / "table.py"), seed=0).state_dict()},
                         made / "table.pth")
    inner = "dict(type='TinySegmentor', width=4, preprocessor=dict(type='VOSPreprocessor'), losses=[])"
    (made / "uncut.py").write_text(f"model = dict(type='ReuseGated', segmentor={inner})\n{SETS}")
    return made


@pytest.mark.parametrize("bad", ALL, ids=lambda bad: bad.name)
def test_bad_input(bad, world, capfd):
    check_bad(bad, world, capfd)


def test_what_is_spoilt_above_runs(world, capfd):
    check_good((f"{STATS} --reuse-rate 0.5", TEST, DEMO, f"{PLOT} --gates oracle --modes copy --perfect", FRTM,
                TABLED), capfd)
