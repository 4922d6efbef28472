"""Scores a result file of YouTube-VIS: the part of the command ``eval_masks`` that has tracks instead of folders."""

import argparse
from collections.abc import Mapping
from pathlib import Path

from ..utils.progress import progress_bar
from .common import write_numbers


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``eval_masks youtube_vis``."""
    parser.add_argument("--gt", type=Path, required=True, help="annotation file (JSON)")
    parser.add_argument("--pred", type=Path, required=True, help="result file (JSON)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers")
    parser.add_argument("--class-agnostic", action="store_true", help="categories do not count")
    parser.add_argument("--per-category", action="store_true", help="print a row for every category with references")


def run(options: argparse.Namespace) -> int:
    """Score, print the table, write the file.

    Raises:
        DataError: a file cannot be read or has a fault; then nothing is scored.
    """
    from ..evaluation.functional.youtube_vis import category_scores, global_scores, threshold_scores
    from ..utils.errors import DataError
    from ..utils.vis_json import read_vis_file, read_vis_results

    reference = read_vis_file(options.gt)
    if reference.annotations is None:
        raise DataError(f"{options.gt} has no annotations, so there is nothing to score against; the published valid "
                        "and test files are scored by the server")
    results = _score(reference, read_vis_results(options.pred, reference), options.class_agnostic)
    scores = global_scores(results)
    if scores is None:
        raise DataError(f"{options.gt}: the list of annotations is empty, so there is nothing to score against")
    numbers = {**scores, "per_threshold_AP": threshold_scores(results), "class_agnostic": options.class_agnostic}
    if not options.class_agnostic:
        named = category_scores(results)
        numbers["per_category"] = {reference.categories[int(key)]: values for key, values in named.items()}
    _report(numbers, len(results), options.per_category)
    write_numbers(options.json, numbers)
    return 0


def _score(reference, predictions: Mapping[int, list], class_agnostic: bool) -> list[dict]:
    """Results of all videos, by ascending id, with a progress bar on stderr."""
    from rich.console import Console

    from ..evaluation.functional.youtube_vis import score_video

    console, results = Console(stderr=True), []
    with progress_bar("scoring", len(reference.videos), console=console, transient=True,
                      shown=console.is_terminal) as advance:
        for number in reference.videos:
            targets = [{**a, "name": f"{reference.path}, annotation {a['id']}"} for a in reference.annotations[number]]
            results.append(score_video(targets, predictions[number], reference.size(number), class_agnostic))
            advance()
    return results


def _report(numbers: Mapping, videos: int, per_category: bool) -> None:
    from rich.console import Console

    from ..evaluation.functional.youtube_vis import KEYS
    from ..evaluation.report import print_table, youtube_vis_rows

    title = "YouTube-VIS, categories do not count" if numbers["class_agnostic"] else "YouTube-VIS"
    rows = youtube_vis_rows(numbers.get("per_category", {}), KEYS) if per_category else []
    total = youtube_vis_rows({f"all, {videos} videos": numbers}, KEYS)[0]
    print_table(Console(), title, ("category" if rows else "", *KEYS), rows, total)
