"""Measures speed and memory of a model on a video, and compares two models in one process."""

import argparse
import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..utils.errors import ConfigError, InputError
from .common import (
    add_model_arguments,
    check_targets,
    command,
    load_config,
    new_parser,
    object_count,
    open_config,
    positive_int,
    write_numbers,
)
from .session_options import VIEWS, add_segmenting_options, refuse_unused, session_options

ROUNDS = 3
OF_SOME = ("clip_length", "objects", "mask", "stages", *VIEWS)
"""Options that not every family of models uses."""


def build_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    from ..utils.config_options import OptionsAction  # here, as mmengine takes a second to import

    parser = new_parser(__doc__)
    add_model_arguments(parser, "random ones (seed 0), which cost the same time,")
    parser.add_argument("--compare", metavar="CONFIG2", help="measure this model too, in alternating runs")
    parser.add_argument("--checkpoint2", metavar="FILE", help="weights of CONFIG2")
    parser.add_argument("--cfg-options2", nargs="+", action=OptionsAction, default={}, metavar="KEY=VALUE",
                        help="change values of CONFIG2 only")
    parser.add_argument("--same-weights", action="store_true",
                        help="the sparse model of the two gets the weights of its dense twin; gates keep theirs")
    parser.add_argument("--density", type=float, metavar="D",
                        help="sparse convolutions compute this share of the sites (0..1), in clusters")
    parser.add_argument("--reuse-rate", type=float, metavar="R",
                        help="models with a reuse gate reuse this share of the frames (0..1), evenly spread, whatever "
                             "the gate says; it runs all the same")
    parser.add_argument("--stages", "--parts", action="store_true",
                        help="tell the time of the stages too (early and late features, gate, ...); not with clips")
    parser.add_argument("--video", metavar="PATH", help="video file or folder of images (default: synthetic frames)")
    parser.add_argument("--mask", metavar="PNG", help="objects of the first frame of --video (default: discs)")
    parser.add_argument("--size", type=positive_int, nargs=2, metavar=("H", "W"),
                        help="size of the frames (default 480 854, for instances 360 640, or that of the video)")
    parser.add_argument("--objects", type=object_count, metavar="N", help="number of objects (default 1)")
    parser.add_argument("--frames", type=positive_int, default=20, metavar="N",
                        help="frames timed per run (default 20); whole clips where a method works by clips")
    parser.add_argument("--warm-up", type=int, default=3, metavar="N",
                        help="frames before them (default 3); whole clips likewise")
    parser.add_argument("--clip-length", type=positive_int, metavar="T",
                        help="frames per clip, for methods that work by clips (default: the model's)")
    parser.add_argument("--rounds", type=positive_int, metavar="N",
                        help=f"runs per model (default 1, with --compare {ROUNDS})")
    parser.add_argument("--threads", type=positive_int, metavar="N", help="threads of torch")
    parser.add_argument("--cpu-time", action="store_true",
                        help="time of the processor instead of wall time: on a busy machine, with --threads 1")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers")
    add_segmenting_options(parser)
    return parser


@dataclass
class Candidate:
    """A model that is measured: its config, family, options and results; it segments ``length`` frames at once.

    ``stages`` has the times of its stages, where they are asked for.
    """

    name: str
    model: Any
    family: Any
    session: dict
    measurement: Any
    weights_mib: float = 0.0
    length: int = 1
    stages: Any = None


@command
def main(argv: list[str] | None = None) -> int:
    """Measure, print a table, write the numbers."""
    options = build_parser().parse_args(argv)
    check_arguments(options)
    check_targets(options.json)
    from ..engine.processes import pick_device

    device = pick_device(options.device)
    names = [options.config, *([options.compare] if options.compare is not None else [])]
    configs = load_configs(names, options)
    family = common_family(configs, options)
    lengths = [options.clip_length or family.length(config) for config in configs]
    frames, labels = load_frames(options, family, lengths)
    with thread_count(options.threads):
        candidates = [build(options, family, *given, device) for given in
                      zip(names, configs, (options.checkpoint, options.checkpoint2), lengths, strict=False)]
        prepare_sparse(candidates, options)
        prepare_gated(candidates, options)
        prepare_stages(candidates, options)
        rounds = options.rounds or (ROUNDS if options.compare else 1)
        ratios = run(candidates, frames, labels, rounds=rounds, warm_up=options.warm_up, device=device,
                     clock=clock_of(options, device))
        result = report_of(candidates, ratios, frames, labels, options, device, rounds)
    print_report(result, candidates)
    write_numbers(options.json, result)
    return 0


def load_configs(names: list[str], options: argparse.Namespace) -> list:
    """The config, and the one to compare with, each with the options that are for it."""
    configs = [open_config(options)]
    if len(names) > 1:
        changes = {**options.cfg_options, **options.cfg_options2}
        try:
            configs.append(load_config(names[1], cfg_options=changes, plugins=options.plugins))
        except ConfigError as error:
            raise ConfigError(f"--compare {names[1]}: {error}") from error
    return configs


def check_arguments(options: argparse.Namespace) -> None:
    """Raise :class:`InputError` for what argparse cannot know."""
    if options.warm_up < 0:
        raise InputError(f"--warm-up must be at least 0, got {options.warm_up}")
    for name in ("checkpoint2", "cfg_options2"):
        if getattr(options, name) and options.compare is None:
            raise InputError(f"--{name.replace('_', '-')} needs --compare CONFIG2")
    if options.same_weights and (options.compare is None or options.checkpoint2 is not None):
        raise InputError("--same-weights needs --compare CONFIG2, and takes no --checkpoint2")
    if options.mask is not None and options.video is None:
        raise InputError("--mask needs --video: synthetic frames bring their own masks")
    if options.mask is not None and options.objects is not None:
        raise InputError("--objects has no effect with --mask: the mask tells the objects")


def common_family(configs: list, options: argparse.Namespace) -> Any:
    """The family of the models; refuses options that mean nothing to it."""
    from ..evaluation.families import family_of
    from ..inference.model_loading import method_of

    families = [family_of(config) for config in configs]
    if len(set(families)) > 1:
        raise InputError("--compare needs two methods of one kind: " + ", ".join(
            f"{method_of(config)} {family.does}" for config, family in zip(configs, families, strict=True)))
    refuse_unused(options, families[0], configs[0], OF_SOME)
    return families[0]


def build(options: argparse.Namespace, family: Any, name: str, config: Any, checkpoint: str | None, length: int,
          device: Any) -> Candidate:
    """Build one model, and measure how much memory its weights take."""
    from ..inference.measuring import Measurement
    from ..inference.model_loading import build_segmentor
    from ..utils.process_memory import resident_mib

    before = resident_mib()
    model = build_segmentor(config, checkpoint, device=device, seed=0, pretrained=False)
    weights = 0.0 if device.type == "cuda" else max(0.0, resident_mib() - before)
    session = {**session_options(options, config), **family.quiet,
               **(family.at_random if checkpoint is None else {})}
    return Candidate(name, model, family, session, Measurement(), weights, length)


def prepare_sparse(candidates: list[Candidate], options: argparse.Namespace) -> None:
    """Give sparse models the weights of their dense twin, and the density, that are asked for."""
    from ..evaluation.work_report import adjustable_parts, set_density
    from ..models.backbones.sparse_convs import load_dense_weights

    sparse = [candidate for candidate in candidates if adjustable_parts(candidate.model)]
    dense = [candidate.model for candidate in candidates if not adjustable_parts(candidate.model)]
    if (options.same_weights or options.density is not None) and not sparse:
        raise InputError("--same-weights and --density are for models with sparse convolutions: there is none")
    if options.same_weights:
        if len(dense) != 1:
            raise InputError("--same-weights needs one model with sparse convolutions and one without any")
        load_dense_weights(sparse[0].model, dense[0].state_dict())
    for candidate in sparse if options.density is not None else ():
        set_density(candidate.model, options.density, f"--density, the model of {candidate.name}")


def prepare_gated(candidates: list[Candidate], options: argparse.Namespace) -> None:
    """Force the rate of reuse that is asked for on all models with a reuse gate."""
    from ..models.segmentors import ReuseGated

    if options.reuse_rate is None:
        return
    if not 0 <= options.reuse_rate <= 1:
        raise InputError(f"--reuse-rate must lie in 0..1, got {options.reuse_rate}")
    gated = [candidate.model for candidate in candidates if isinstance(candidate.model, ReuseGated)]
    if not gated:
        raise InputError(f"--reuse-rate, the model of {candidates[0].name}: it has no reuse gate")
    for model in gated:
        model.force_rate(options.reuse_rate)


def prepare_stages(candidates: list[Candidate], options: argparse.Namespace) -> None:
    """Let the times of stages be taken, if that is asked for."""
    from ..evaluation.stage_times import StageTimes

    for candidate in candidates if options.stages else ():
        if candidate.session.get("compile"):
            raise InputError(f"--stages, the model of {candidate.name}: compiled stages cannot be looked into; leave "
                             "out --stages or --compile (compile in test_session)")
        candidate.stages = StageTimes(clock_of(options, next(candidate.model.parameters()).device))


def run(candidates: list[Candidate], frames: list, labels: Any, *, rounds: int, warm_up: int,
        device: Any, clock: Callable[[], float] = time.perf_counter) -> list[float]:
    """Measure all candidates ``rounds`` times in turn; return the ratios of their times, round by round."""
    from ..inference.measuring import PeakMemory

    forced = any(getattr(candidate.model, "forced", None) is not None for candidate in candidates)
    middle = statistics.fmean if forced else statistics.median  # frames that are reused are not like the others
    ratios = []
    for _ in range(rounds):
        times = []
        for candidate in candidates:
            with PeakMemory(device) as peak:
                known = len(candidate.measurement.seconds)
                time_once(candidate, frames, labels, warm_up, clock)
            times.append(middle(candidate.measurement.seconds[known:]))
            candidate.measurement.peak_mib = max(candidate.measurement.peak_mib, candidate.weights_mib + peak.mib)
        if len(candidates) == 2:
            ratios.append(times[0] / times[1])
    return ratios


def time_once(candidate: Candidate, frames: list, labels: Any, warm_up: int, clock: Callable[[], float]) -> None:
    """Segment the frames with one of the models, and add the times to its measurement."""
    from ..inference.measuring import measure

    family, session = candidate.family, candidate.family.session(candidate.model, **candidate.session)
    untimed, stages = family.untimed(warm_up, candidate.length), candidate.stages

    def feed(index: int, image: Any) -> None:
        if stages is not None and index == untimed:
            stages.start()
        family.feed(session, image, None if index else labels)

    with contextlib.nullcontext() if stages is None else stages.watch(candidate.model):
        measure(feed, frames, length=candidate.length, untimed=untimed, result=candidate.measurement, clock=clock)
    if stages is not None:
        candidate.measurement.stages.append({name: seconds / (len(frames) - untimed)
                                             for name, seconds in stages.seconds.items()})


def clock_of(options: argparse.Namespace, device: Any) -> Callable[[], float]:
    """What gives the seconds.

    Raises:
        InputError: time of the processor is asked for where it says little.
    """
    if not options.cpu_time:
        return time.perf_counter
    if device.type == "cuda" or options.threads != 1:
        raise InputError("--cpu-time needs --threads 1 and --device cpu: waiting threads and a GPU are not in it")
    return time.process_time


def load_frames(options: argparse.Namespace, family: Any, lengths: list[int]) -> tuple[list, Any]:
    """The frames of a run, read beforehand, and the labels of the first one; enough for whole clips of ``lengths``."""
    from ..inference.opening import open_reader
    from ..inference.synthetic_frames import WanderingDiscs
    from ..utils.images import resize_image
    from ..utils.masks import read_mask, resize_labels

    count = max(length * (family.untimed(options.warm_up, length) - -options.frames // length) for length in lengths)
    size = None if options.size is None else tuple(options.size)
    if options.video is None:
        discs = WanderingDiscs(count, size or family.size, options.objects or 1)
        return list(discs), discs.labels(0)
    with open_reader(options.video, prefetch=0) as reader:
        frames = [frame.image if size is None else resize_image(frame.image, size)
                  for frame, _ in zip(reader, range(count), strict=False)]
    if len(frames) < count:
        raise InputError(f"--video {options.video} has {len(frames)} frames; {count} are needed: lower --frames "
                         "(timed) or --warm-up")
    shape = frames[0].shape[:2]
    labels = WanderingDiscs(1, shape, options.objects or 1).labels(0)
    return frames, labels if options.mask is None else resize_labels(read_mask(options.mask), shape)


def report_of(candidates: list[Candidate], ratios: list[float], frames: list, labels: Any, options: argparse.Namespace,
              device: Any, rounds: int) -> dict:
    """All numbers under their stable keys, with what was measured."""
    import platform

    import torch

    from ..utils.masks import object_ids

    result = {"config": options.config, **candidates[0].measurement.numbers()}
    if ratios:
        result["speedup"] = statistics.median(ratios)
        result["compare"] = {"config": options.compare, **candidates[1].measurement.numbers()}
    height, width = frames[0].shape[:2]
    on_gpu, first = device.type == "cuda", candidates[0]
    clip = {} if first.length == 1 else {"clip_length": first.length}
    result["measured"] = {
        "size": [height, width], **clip, "objects": len(object_ids(labels)),
        "frames": first.measurement.frames * len(first.measurement.seconds) // rounds, "rounds": rounds,
        "density": options.density, "reuse_rate": options.reuse_rate, "same_weights": options.same_weights,
        "warm_up": options.warm_up, "video": options.video, "weights": options.checkpoint or "random",
        "device": torch.cuda.get_device_name(device) if on_gpu else platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(), "clock": "cpu" if options.cpu_time else "wall", "torch": torch.__version__,
        "options": {k: v for k, v in first.session.items() if k != "device"}}
    return result


def print_report(result: dict, candidates: list[Candidate]) -> None:
    """A table and what was measured."""
    from rich.console import Console
    from rich.table import Table

    keys = ("fps", "latency_ms_p50", "latency_ms_p95", "first_frame_ms", "peak_mem_mib")
    table = Table("model", *keys)
    for candidate in candidates:
        numbers = candidate.measurement.numbers()
        table.add_row(candidate.name, *(f"{numbers[key]:.2f}" for key in keys))
    console = Console()
    console.print(table)
    for candidate in candidates:
        stages = candidate.measurement.numbers().get("stages_ms")
        if stages:
            console.print(f"{candidate.name}, ms of a mean frame: " + ", ".join(
                f"{name} {ms:.1f}" for name, ms in stages.items()), soft_wrap=True)
    if "speedup" in result:
        first, second = (candidate.name for candidate in candidates)
        console.print(f"{second} is {result['speedup']:.3f} x as fast as {first}", soft_wrap=True)
    m = result["measured"]
    clips = f", clips of {m['clip_length']} frames (latencies are those of a clip)" if "clip_length" in m else ""
    console.print(f"{m['size'][0]} x {m['size'][1]} pixels, {m['objects']} objects, {m['frames']} frames x "
                  f"{m['rounds']}{clips}, {m['threads']} threads, {m['clock']} time, {m['device']}, "
                  f"weights: {m['weights']}",
                  soft_wrap=True)


@contextlib.contextmanager
def thread_count(threads: int | None) -> Iterator[None]:
    """Use so many threads for a while."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
