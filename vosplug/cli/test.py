"""Segments the videos of a data set and scores them: DAVIS, YouTube-VOS, YouTube-VIS, or what the config describes."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..utils.errors import ConfigError, DataError, InputError
from .common import (
    add_config_options,
    check_targets,
    choose_shipped,
    command,
    dataset_changes,
    new_parser,
    open_config,
    write_numbers,
)
from .session_options import VIEWS, add_session_options, open_model, refuse_unused, session_options

KINDS = {"davis": "DavisMetric", "youtube_vos": "YouTubeVOSMetric", "youtube_vis": "YouTubeVISMetric"}
DATASETS_OF_KINDS = {"davis": "DavisDataset", "youtube_vos": "YouTubeVOSDataset", "youtube_vis": "YouTubeVISDataset"}


def build_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = new_parser(__doc__)
    parser.add_argument("config", nargs="?", help="config file, or the name of one that comes with vosplug; without it "
                                                  "the model that comes with vosplug is tested")
    parser.add_argument("checkpoint", nargs="?", help="weights")
    parser.add_argument("--baseline", choices=("copy", "flow"),
                        help="instead of a model: copy the first mask, or warp it by optical flow (no CHECKPOINT then)")
    parser.add_argument("--eval", choices=tuple(KINDS), dest="kind",
                        help="protocol; by default that of test_dataset in the config")
    parser.add_argument("--set", dest="split", help="split, e.g. val, test-dev, valid, valid_all_frames")
    parser.add_argument("--year", help="2016 or 2017 (DAVIS), 2018 or 2019 (YouTube-VOS)")
    parser.add_argument("--sequences", nargs="+", metavar="NAME", help="only these videos")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write masks and results.json; where there are no "
                                                                "reference masks also submission.zip")
    parser.add_argument("--show-dir", type=Path, metavar="DIR", help="write an overlay video per video")
    parser.add_argument("--show-score", type=float, metavar="S",
                        help="youtube_vis: draw tracks whose mean class score is at least this (default 0.3)")
    parser.add_argument("--class-numbers", action="store_true",
                        help="youtube_vis: compare categories by number, whatever the checkpoint calls them")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers")
    parser.add_argument("--launcher", default="none", help="none or pytorch (under torchrun: videos are split)")
    add_session_options(parser)
    add_config_options(parser, work_dir=False)
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Segment, score, print the table, write what was asked for."""
    options = build_parser().parse_args(argv)
    check_arguments(options)
    check_targets(options.json)
    from ..engine.processes import pick_device, process_group

    config = {} if options.config is None else open_config(options)
    if options.kind:
        check_fit(config, KINDS[options.kind], options)
    dataset = build_dataset(config, options)
    check_fit(config, dataset.metric if options.kind is None else KINDS[options.kind], options)
    check_outputs(dataset, options)
    if options.baseline:
        with process_group(options.launcher, pick_device("cpu")):
            return run(build_baseline(options), {}, dataset, build_metric(config, dataset, options), options)
    device = pick_device(options.device)
    with process_group(options.launcher, device):
        return run(open_model(options, config), session_options(options, config), dataset,
                   build_metric(config, dataset, options), options)


def run(model: Any, session: dict, dataset: Any, metric: Any, options: argparse.Namespace) -> int:
    """Segment and score; the first process reports."""
    from ..evaluation.evaluator import gather, rank_and_size
    from ..evaluation.families import family_of
    from ..evaluation.work_report import WorkReport, is_gated

    show = {} if options.show_score is None else {"show_score": options.show_score}
    show |= {"by_number": True} if options.class_numbers else {}
    evaluator = family_of(model).evaluator(model, session_options=session, out_dir=options.out,
                                           show_dir=options.show_dir, **show)
    work = WorkReport()
    evaluator.on_video = lambda video: setattr(work, "video", video.name)
    with work.watch(model, count=is_gated(model)):
        scores = evaluator.run(dataset, metric)
    work = WorkReport.merged(gather(work))
    if rank_and_size()[0] == 0:
        report(scores, evaluator, dataset, metric, options, work)
    return 0


def report(scores: dict | None, evaluator: Any, dataset: Any, metric: Any, options: argparse.Namespace,
           work: Any) -> None:
    """Print the table or say why there is none; write the JSON file and the submission."""
    from rich.console import Console

    console = Console()
    if scores is not None:
        metric.table(console)
    else:
        console.print("No numbers: reference masks are missing, so nothing was scored.")
        if options.out is not None:
            path = write_submission(dataset, metric, options)
            console.print("No submission: nothing was found, and servers fail at an empty list." if path is None else
                          f"Submission for the server, checked: {path}", soft_wrap=True)
    console.print(f"{evaluator.frames} frames, {evaluator.fps:.2f} frames per second and process")
    if evaluator.first_frame_ms is not None:
        console.print(f"{evaluator.fps_mean:.2f} as a mean over videos; a first frame takes "
                      f"{evaluator.first_frame_ms:.0f} ms", soft_wrap=True)
    for line in [*work.lines(), *work.video_lines()]:
        console.print(line, soft_wrap=True)
    for name, folder in (("masks", options.out), ("overlay videos", options.show_dir)):
        if folder is not None:
            console.print(f"{name}: {folder}", soft_wrap=True)
    videos = {"videos": work.by_video()} if work.videos else {}
    times = {} if evaluator.first_frame_ms is None else {"fps_mean": evaluator.fps_mean,
                                                         "first_frame_ms": evaluator.first_frame_ms}
    write_numbers(options.json, {**(scores or {}), "fps": evaluator.fps, **times, "frames": evaluator.frames,
                                 **work.numbers(), **videos})


def write_submission(dataset: Any, metric: Any, options: argparse.Namespace) -> Path | None:
    """Write and check the zip file for the server of the benchmark; return its path, None if there is nothing in it."""
    from ..evaluation import submission
    from ..evaluation.vis_submission import write_vis_submission

    path = options.out / "submission.zip"
    if kind_of(dataset, options) == "youtube_vis":
        found = metric.predictions()
        if found:
            write_vis_submission(path, found, dataset.file)
        return path if found else None
    writers = {"davis": submission.write_davis_submission, "youtube_vos": submission.write_youtube_vos_submission}
    writers[kind_of(dataset, options)](options.out, dataset.videos(), path)
    return path


def check_arguments(options: argparse.Namespace) -> None:
    """Raise :class:`InputError` for what argparse cannot know."""
    if options.baseline:
        if options.checkpoint is not None:
            raise InputError(f"--baseline {options.baseline} takes no checkpoint, got {options.checkpoint}")
        used = [name for name in (*VIEWS, "amp", "channels_last", "device") if getattr(options, name)]
        if options.config is None:
            given = {"cfg_options": options.cfg_options, "plugin": options.plugins}
            used += [name for name, value in given.items() if value]
        if used:
            name = used[0].replace("_", "-")
            raise InputError(f"--{name} has no effect on --baseline {options.baseline}"
                             f"{' without CONFIG' if used[0] in ('cfg_options', 'plugin') else ''}: leave it out")
    else:
        choose_shipped(options)
        if options.checkpoint is None:
            raise InputError("test needs CONFIG and CHECKPOINT, or neither, or --baseline copy|flow")
    if options.show_score is not None and (options.show_dir is None or not 0 <= options.show_score <= 1):
        raise InputError(f"--show-score needs --show-dir, and a number in 0..1, got {options.show_score}")


def check_fit(config: Mapping[str, Any], metric: str | None, options: argparse.Namespace) -> None:
    """Raise :class:`InputError` if the model is not for what ``metric`` scores, or an option not for the model."""
    from ..evaluation.families import family_of
    from ..inference.model_loading import method_of
    from ..registry import METRICS

    family = family_of(config)
    wanted = family if metric is None else family_of(METRICS.get(metric))
    method = f"--baseline {options.baseline}" if options.baseline else method_of(config)
    if family is not wanted:
        fitting = [kind for kind, name in KINDS.items() if family_of(METRICS.get(name)) is family]
        asked = metric if options.kind is None else f"--eval {options.kind}"
        raise InputError(f"{asked} needs a method that {wanted.does}; {method} {family.does}: test it with --eval "
                         f"{' or '.join(fitting)}")
    refuse_unused(options, family, config, (*VIEWS, "show_score", "class_numbers"))


def check_outputs(dataset: Any, options: argparse.Namespace) -> None:
    """Raise :class:`InputError` if the run could give nothing."""
    nothing = options.out is None and options.show_dir is None
    if (nothing and kind_of(dataset, options) == "youtube_vis" and dataset.file.annotations is not None
            and not any(v.tracks for v in dataset.videos())):
        raise DataError(f"{dataset.file.path}: the list of annotations is empty, so there is nothing to score against; "
                        "give --out DIR to write what is found")
    unscored = [video.name for video in dataset.videos() if not video.has_reference]
    if unscored and nothing:
        raise InputError(f"{len(unscored)} videos have no reference masks ({unscored[0]}, ...), so there will be no "
                         "numbers: give --out DIR to write the masks and the submission")


def build_baseline(options: argparse.Namespace) -> Any:
    """The baseline that was asked for."""
    from ..inference.baselines import Baseline

    return Baseline(options.baseline)


def build_dataset(config: Mapping[str, Any], options: argparse.Namespace) -> Any:
    """``test_dataset`` of the config if it fits ``--eval``, else the data set of that benchmark at ``--data-root``."""
    from ..registry import DATASETS
    from ..utils.config_check import find_type

    given = config.get("test_dataset")
    if given is not None and options.kind is not None:
        metric = getattr(find_type(given["type"]), "metric", None)
        given = given if metric == KINDS[options.kind] else None
    if given is None:
        if options.kind is None:
            raise InputError(f"the config has no test_dataset: say what to test on, --eval {' or '.join(KINDS)}")
        if options.data_root is None:
            raise InputError(f"--eval {options.kind} needs --data-root DIR, as the config has no test_dataset for it")
        given = {"type": DATASETS_OF_KINDS[options.kind]}
    return DATASETS.build({**given, **dataset_changes(options)})


def build_metric(config: Mapping[str, Any], dataset: Any, options: argparse.Namespace) -> Any:
    """``test_evaluator`` of the config if it is of the right type, else the metric of the data set."""
    from ..registry import METRICS

    wanted = KINDS[options.kind] if options.kind else dataset.metric
    given = config.get("test_evaluator")
    if given is None or given["type"] != wanted:
        if wanted is None:
            raise ConfigError(f"{type(dataset).__name__} names no metric: give test_evaluator in the config, or --eval")
        given = {"type": wanted}
    if wanted == "DavisMetric" and str(getattr(dataset, "year", "")) == "2016":
        given = {"protocol": "2016", **given}
    return METRICS.build(given)


def kind_of(dataset: Any, options: argparse.Namespace) -> str:
    """``davis``, ``youtube_vos`` or ``youtube_vis``."""
    return options.kind or next(kind for kind, metric in KINDS.items() if metric == dataset.metric)
