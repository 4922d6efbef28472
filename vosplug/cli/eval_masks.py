"""Scores predictions: folders of masks (DAVIS 2016, 2017, unsupervised; YouTube-VOS), tracks (YouTube-VIS)."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..utils.errors import DataError, InputError, did_you_mean
from ..utils.progress import progress_bar
from . import eval_tracks
from .common import check_targets, command, new_parser, positive_int, write_numbers

FAULT_STATUS = 2
"""Exit status when a sequence could not be scored, the same as for all errors."""


def build_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = new_parser(__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="{davis,youtube_vos,youtube_vis}")
    davis = kinds.add_parser("davis", help="J and F of DAVIS")
    _add_paths(davis, gt="DAVIS root, or a folder of <sequence>/*.png", pred="folder of <sequence>/*.png")
    davis.add_argument("--protocol", default="semi2017", help="semi2017 (default), semi2016 (one foreground per "
                                                              "sequence) or unsupervised")
    davis.add_argument("--set", dest="split", help="list of ImageSets (default val); 'all': every annotated sequence")
    davis.add_argument("--year", choices=("2016", "2017", "2019"), help="folder of ImageSets (default: by protocol)")
    davis.add_argument("--resolution", help="folder of Annotations (default 480p)")
    youtube = kinds.add_parser("youtube_vos", help="J and F on seen and unseen categories")
    _add_paths(youtube, gt="folder with Annotations/ and meta.json",
               pred="folder of <video>/*.png, or with Annotations/ of it")
    youtube.add_argument("--seen", nargs="+", metavar="NAME",
                         help="seen categories, or a JSON file: seen_unseen.json or the training set's meta.json "
                              "(default: seen_unseen.json beside Annotations, else the 65 training categories)")
    eval_tracks.add_options(kinds.add_parser("youtube_vis", help="average precision of tracks"))
    return parser


def _add_paths(parser: argparse.ArgumentParser, gt: str, pred: str) -> None:
    parser.add_argument("--gt", type=Path, required=True, help=gt)
    parser.add_argument("--pred", type=Path, required=True, help=pred)
    parser.add_argument("--sequences", nargs="+", metavar="NAME", help="score only these")
    parser.add_argument("--workers", type=positive_int, help="number of processes (default: one per processor)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers, per frame too")
    parser.add_argument("--csv", type=Path, metavar="DIR", help="write the tables as CSV files")
    parser.add_argument("--sheet", type=Path, metavar="PNG", help="write a sheet of the frames with the lowest J&F")


@command
def main(argv: list[str] | None = None) -> int:
    """Score, print the tables, write the files; 2 if a sequence had a fault (the others are scored and written)."""
    options = build_parser().parse_args(argv)
    if options.kind == "youtube_vis":
        check_targets(options.json)
        return eval_tracks.run(options)
    if options.sheet and options.sheet.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise InputError(f"--sheet {options.sheet}: expected a file name with .png or .jpg")
    check_targets(options.json, options.sheet, options.csv and options.csv / "global_results.csv")
    task = TASKS[options.kind](options)
    results, faults = _score(task.jobs, options.workers)
    if results:
        task.report(results)
        numbers = {**task.numbers(results), "complete": not faults, "faults": faults}
        write_numbers(options.json, {**numbers, "sequences": task.sequences(results)})
        if options.sheet:
            from ..evaluation.sheet import write_worst_frames

            write_worst_frames(options.sheet, task.jobs, results)
    for fault in faults.values():
        print(f"error: {fault}", file=sys.stderr)
    return FAULT_STATUS if faults else 0


class _Davis:
    """The jobs of DAVIS and what is shown of their results."""

    def __init__(self, options: argparse.Namespace):
        from ..evaluation.davis_folders import find_davis_jobs

        self.protocol = options.protocol
        self.csv = options.csv
        self.jobs = find_davis_jobs(options.gt, options.pred, protocol=options.protocol, split=options.split,
                                    year=options.year, resolution=options.resolution, sequences=options.sequences)
        self.set = options.split or ("val" if self.jobs[0].images else "all")

    def numbers(self, results: Mapping[str, dict]) -> dict:
        from ..evaluation.functional.davis import existing_scores, global_scores

        existing = existing_scores(results)
        return {**global_scores(results), **({"existing_objects": existing} if existing else {}),
                "protocol": self.protocol}

    def sequences(self, results: Mapping[str, dict]) -> dict:
        from ..evaluation.functional.davis import global_scores

        return {name: {**global_scores({name: result}), **result} for name, result in results.items()}

    def report(self, results: Mapping[str, dict]) -> None:
        from rich.console import Console

        from ..evaluation.functional.davis import KEYS
        from ..evaluation.report import print_davis, write_csv

        scores = [self.numbers(results)[key] for key in KEYS]
        print_davis(Console(), f"DAVIS {self.protocol}", results, _total(results, self.jobs))
        if self.csv:
            objects = [(f"{name}_{number}", [entry["J-Mean"], entry["F-Mean"]])
                       for name, result in results.items() for number, entry in result["objects"].items()]
            write_csv(self.csv / f"global_results-{self.set}.csv", KEYS, [("", scores)])
            write_csv(self.csv / f"per-sequence_results-{self.set}.csv", ("Sequence", "J-Mean", "F-Mean"), objects)


class _YouTubeVOS:
    """The jobs of YouTube-VOS and what is shown of their results."""

    def __init__(self, options: argparse.Namespace):
        from ..datasets.youtube_vos_meta import TRAINING_CATEGORIES
        from ..evaluation.youtube_vos_folders import find_youtube_vos_jobs, seen_categories

        self.csv = options.csv
        self.jobs = find_youtube_vos_jobs(options.gt, options.pred, options.sequences)
        self.seen = seen_categories(options.gt, options.seen)
        known = {category for job in self.jobs for category in job.categories.values()} | set(TRAINING_CATEGORIES)
        unknown = [name for name in self.seen if name not in known]
        if unknown and options.seen:
            raise DataError(f"--seen {unknown[0]}: no object here has this category and the training set does not have "
                            f"it.{did_you_mean(unknown[0], known)}")

    def numbers(self, results: Mapping[str, dict]) -> dict:
        from ..evaluation.functional.youtube_vos import KEYS, global_scores

        scores = global_scores(results, self.seen) or {}
        return {**{key: scores.get(key) for key in KEYS}, "seen": self.seen}

    def sequences(self, results: Mapping[str, dict]) -> dict:
        return dict(results)

    def report(self, results: Mapping[str, dict]) -> None:
        from rich.console import Console

        from ..evaluation.functional.youtube_vos import KEYS
        from ..evaluation.report import print_table, write_csv, youtube_vos_rows

        scores = [self.numbers(results)[key] for key in KEYS]
        objects = youtube_vos_rows(results, self.seen)
        head = ("video / object", "category", "set", "J", "F")
        print_table(Console(), "YouTube-VOS, objects", head, objects, None)
        print_table(Console(), "YouTube-VOS", ("", *KEYS), [(_total(results, self.jobs), scores)], None)
        if self.csv:
            write_csv(self.csv / "global_results.csv", KEYS, [("", scores)])
            write_csv(self.csv / "per-object_results.csv", head, objects)


def _score(jobs: Sequence, workers: int | None) -> tuple[dict[str, dict], dict[str, str]]:
    """Score the jobs with a progress bar on stderr."""
    from rich.console import Console

    from ..evaluation.parallel import available_processors, run_jobs

    console = Console(stderr=True)
    with progress_bar("scoring", len(jobs), console=console, transient=True, shown=console.is_terminal) as advance:
        return run_jobs(jobs, workers or available_processors(), advance)


def _total(results: Mapping[str, dict], jobs: Sequence) -> str:
    return "all objects" if len(results) == len(jobs) else f"only {len(results)} of {len(jobs)} sequences"


TASKS = {"davis": _Davis, "youtube_vos": _YouTubeVOS}
