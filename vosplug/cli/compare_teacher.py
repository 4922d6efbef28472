"""Says how near a student comes to its teacher on videos of which only the given masks are read.

The teacher is that of the task of the config. All models follow the same videos side by side: the student, the same
with its offsets set to zero (where it has deformable attention), and one that has not been trained.
"""

import argparse
import copy
from collections.abc import Mapping
from typing import Any

from ..utils.errors import ConfigError, DataError, InputError
from .common import (
    add_config_options,
    add_model_arguments,
    check_targets,
    command,
    dataset_changes,
    new_parser,
    open_config,
    positive_int,
    write_numbers,
)
from .session_options import add_session_options, open_model, session_options

TRAINED, STILL, UNTRAINED = "student", "offsets at zero", "before training"


def build_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = new_parser(__doc__)
    add_model_arguments(parser)
    parser.add_argument("--set", dest="split", help="split (default: that of test_dataset in the config)")
    parser.add_argument("--sequences", nargs="+", metavar="NAME", help="only these videos")
    parser.add_argument("--frames", type=positive_int, metavar="N", help="only the first N frames of each video")
    parser.add_argument("--features", nargs=2, metavar=("TEACHER", "STUDENT"),
                        help="names of the features whose CKA is told (default: those of the first pair of the task "
                             "that compares cells)")
    parser.add_argument("--seed", type=int, default=0, metavar="S",
                        help="of the student before training; its backbone has the weights that the config names")
    parser.add_argument("--json", metavar="FILE", help="write the numbers")
    add_session_options(parser)
    add_config_options(parser, work_dir=False)
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Follow the videos, print a table, write the numbers."""
    options = build_parser().parse_args(argv)
    check_targets(options.json)
    if options.flip or options.scales:
        raise InputError("--scales and --flip have no effect: features of one view are compared; leave them out")
    config = open_config(options)
    task = build_task(config, options.config)
    from ..evaluation.nearness import compare

    students = build_students(config, options)
    pair = choose_pair(task, students[TRAINED], options)
    videos = build_videos(config, options)
    session = {**session_options(options, config), "scales": (1.0,), "flip": False}
    found = compare(task.teacher.model, students, videos, pair=pair, session=session, frames=options.frames)
    numbers = {name: nearness.as_json() for name, nearness in found.items()}
    if numbers[TRAINED]["J"] is None:
        raise DataError("no frame was compared: the videos start no object before their last frame")
    report(numbers, pair, len(videos), options)
    features = None if pair is None else {"teacher": pair.teacher, "student": pair.student}
    write_numbers(options.json, {"config": options.config, "features": features, "videos": len(videos),
                                 "students": numbers})
    return 0


def build_task(config: Mapping[str, Any], name: str) -> Any:
    """The task of the config, with its teacher.

    Raises:
        ConfigError: the config has no teacher.
    """
    from ..models.tasks import Distillation
    from ..registry import TASKS

    task = TASKS.build(config["task"]) if config.get("task") else None
    if not isinstance(task, Distillation):
        raise ConfigError(f"{name} has no teacher: a config with task=dict(type='Distillation', teacher=...) was "
                          "expected")
    return task


def build_students(config: Any, options: argparse.Namespace) -> dict[str, Any]:
    """The student as it is, with its points kept in place, and before training."""
    from ..engine.processes import pick_device
    from ..evaluation.nearness import kept_in_place
    from ..inference.model_loading import build_segmentor

    trained = open_model(options, config)
    still = copy.deepcopy(trained)
    moving = kept_in_place(still)
    fresh = build_segmentor(config, device=pick_device(options.device), seed=options.seed)
    return {TRAINED: trained, **({STILL: still} if moving else {}), UNTRAINED: fresh}


def choose_pair(task: Any, student: Any, options: argparse.Namespace) -> Any:
    """The features that are compared; None if the task names none of cells and the command line neither.

    Raises:
        ConfigError: a model does not publish the feature.
    """
    from ..evaluation.nearness import feature_pair
    from ..models.distillers import build_pairs

    task.teacher.like(student)
    names = options.features
    if names is None:
        of_cells = [pair for pair in build_pairs(task.settings) if pair.loss.reads == "cells"]
        if not of_cells:
            return None
        names = of_cells[0].teacher, of_cells[0].student
    pair = feature_pair(*names)
    pair.check(*task.probe(student))
    return pair


def build_videos(config: Mapping[str, Any], options: argparse.Namespace) -> list:
    """The videos of ``test_dataset`` of the config, with the changes of the command line."""
    from ..registry import DATASETS

    if config.get("test_dataset") is None:
        raise ConfigError(f"{options.config} has no test_dataset: it says which videos are followed")
    videos = DATASETS.build({**config["test_dataset"], **dataset_changes(options)}).videos()
    unstarted = [video.name for video in videos if not video.prompts]
    if unstarted:
        raise DataError(f"video {unstarted[0]} has no mask that starts an object: nothing can be followed in it")
    return videos


def report(numbers: Mapping[str, dict], pair: Any, videos: int, options: argparse.Namespace) -> None:
    """A row for each student, and where the points of the trained one went."""
    from rich.console import Console
    from rich.table import Table

    table = Table("model", "J with the teacher's masks", "CKA, unbiased", title_justify="left",
                  title=f"{options.config}: {videos} videos, J is a mean over them")
    for name, found in numbers.items():
        cka = "-" if found["cka"] is None else f"{found['cka']:.3f}"
        table.add_row(name, f"{100 * found['J']:.1f}", cka)
    console = Console()
    console.print(table)
    if pair is None:
        console.print("No CKA: the task compares no features of cells; --features names two.")
    else:
        console.print(f"CKA of {pair.teacher} of the teacher and {pair.student} of the student", soft_wrap=True)
    for network, found in numbers[TRAINED]["offsets"].items():
        console.print(f"{network}: mean offset {found['mean_offset']:.3f} cells, {100 * found['outside']:.2f}% of the "
                      "points off the map", soft_wrap=True)
