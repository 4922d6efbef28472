"""The command ``vosplug VERB ...``; each verb is a module of this folder with a ``main``."""

import sys
from collections.abc import Sequence
from importlib import import_module

from ..utils.errors import did_you_mean
from .common import error_line, program

# Verb -> module of the package, arguments that come first, what it does.
VERBS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "train": ("cli.train", (), "train a model from a config"),
    "test": ("cli.test", (), "segment the videos of a data set and score them"),
    "demo": ("cli.demo", (), "segment a video: an overlay, masks or JSON"),
    "eval": ("cli.eval_masks", (), "score predictions: davis, youtube_vos, youtube_vis"),
    "tracks": ("cli.eval_masks", ("youtube_vis",), "score the tracks of a result file: eval youtube_vis"),
    "convert": ("cli.convert_checkpoint", (), "bring a published checkpoint to vosplug's names"),
    "parity": ("cli.parity", (), "compare with an official implementation, tensor by tensor"),
    "stats": ("cli.model_stats", (), "parameters, MiB and multiply-accumulates of a model"),
    "benchmark": ("cli.benchmark", (), "speed and memory of a model, or of two"),
    "ops": ("cli.benchmark_ops", (), "speed of the operators against named rivals"),
    "plot": ("cli.plot_memory", (), "resident memory over a long video, as a curve"),
    "gate": ("cli.plot_gate", (), "what a reuse gate saves and costs on a data set"),
    "offsets": ("cli.plot_offsets", (), "where deformable attention looks, as a picture"),
    "teacher": ("cli.compare_teacher", (), "how near a student comes to its teacher"),
    "synthetic": ("cli.make_synthetic", (), "make a synthetic data set"),
    "check": ("cli.check_data", (), "name every fault of a data set"),
    "list": ("cli.list_plugins", (), "parts that configs can name"),
    "tour": ("cli.run_demo", (), "all in one: data, training, test, pictures"),
    "env": ("env", (), "what is installed, and what is missing"),
}


def usage() -> str:
    """All verbs, a line each."""
    width = max(map(len, VERBS))
    lines = [f"  {verb:{width}}  {what}" for verb, (_, _, what) in VERBS.items()]
    return "\n".join(["usage: vosplug VERB ...    (vosplug VERB --help tells its options)", "", *lines])


def run_verb(verb: str, arguments: Sequence[str]) -> int:
    """Run a command; return its exit status."""
    module, first, _ = VERBS[verb]
    with program(f"vosplug {'eval' if first else verb}"):
        return import_module(f"vosplug.{module}").main([*first, *arguments])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb, or say which there are."""
    verb, *rest = [*(sys.argv[1:] if argv is None else argv), ""]
    if verb in VERBS:
        return run_verb(verb, rest[:-1])
    if verb in ("", "-h", "--help"):
        print(usage())
        return 0 if verb else 2
    print(error_line(f"there is no verb {verb!r}.{did_you_mean(verb, VERBS)} Known: {', '.join(VERBS)}."),
          file=sys.stderr)
    return 2
