"""Compares the YouTube-VIS measures with the same in plain loops: seconds and numbers, on generated tracks."""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import _path  # noqa: F401  (lets the scripts run from a clone that is not installed)

from vosplug.cli.common import check_targets, command, positive_int
from vosplug.cli.rivals import load_rival
from vosplug.utils.errors import VosplugError
from vosplug.utils.files import write_json

CATEGORIES = 40


def build_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=positive_int, default=300, help="number of videos (default 300)")
    parser.add_argument("--frames", type=positive_int, default=20, help="frames of each (default 20)")
    parser.add_argument("--size", type=positive_int, nargs=2, default=(360, 640), metavar=("H", "W"))
    parser.add_argument("--objects", type=positive_int, default=3, help="most objects of a video (default 3)")
    parser.add_argument("--predictions", type=positive_int, default=8, help="predictions per object (default 8)")
    parser.add_argument("--one-category", action="store_true", help="the objects of a video are of one category, as "
                                                                    "in most real videos (default: any categories)")
    parser.add_argument("--holes", type=int, default=0, help="holes cut into each mask (default 0): more runs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeat", type=positive_int, default=3, help="runs of each (default 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the seconds of all runs and the numbers")
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Generate, run both in turn, print the medians; an error if a number differs by more than 1e-9."""
    options = build_parser().parse_args(argv)
    check_targets(options.json)
    reference, results = make_case(options)
    ways: dict[str, Callable] = {"plain loops": plain, "vosplug": fast}
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    numbers = {}
    for _ in range(options.repeat):  # in turn, so that other load on the machine meets all alike
        for name, way in ways.items():
            begin, wall = time.process_time(), time.perf_counter()
            numbers[name] = way(reference, results)
            runs[name].append((time.process_time() - begin, time.perf_counter() - wall))
    difference = max(abs(numbers["plain loops"][key] - numbers["vosplug"][key]) for key in numbers["vosplug"])
    report = _report(reference, results, runs, numbers, difference)
    if options.json:
        write_json(options.json, report)
    if difference > 1e-9:
        raise VosplugError(f"the numbers differ by {difference:.3g}")
    return 0


def plain(reference: dict, results: list[dict]) -> dict[str, float]:
    """The numbers from plain loops."""
    return load_rival("youtube_vis_plain").plain_scores(
        reference["annotations"], results, [v["id"] for v in reference["videos"]],
        [c["id"] for c in reference["categories"]])


def fast(reference: dict, results: list[dict]) -> dict[str, float]:
    """The numbers from the functions that the metric and the commands use, checks included."""
    from vosplug.evaluation.functional.youtube_vis import global_scores, score_video
    from vosplug.utils.vis_json import check_vis_results, parse_vis_file

    checked = parse_vis_file(reference, "generated")
    predictions = check_vis_results(results, checked, "generated")
    return global_scores([score_video(checked.annotations[v], predictions[v], checked.size(v)) for v in checked.videos])


def make_case(options: argparse.Namespace) -> tuple[dict, list[dict]]:
    """A reference and results: smooth blobs that move, and shifted, grown, shrunk and late copies of them."""
    import numpy as np

    rng = np.random.default_rng(options.seed)
    size, frames = tuple(options.size), options.frames
    categories = [{"id": c + 1, "name": f"c{c + 1}"} for c in range(CATEGORIES)]
    videos, annotations, results = [], [], []
    for v in range(1, options.videos + 1):
        names = [f"v{v}/{t:05d}.jpg" for t in range(frames)]
        videos.append({"id": v, "height": size[0], "width": size[1], "length": frames, "file_names": names})
        common = int(rng.integers(1, CATEGORIES + 1))
        for _ in range(int(rng.integers(1, options.objects + 1))):
            category = common if options.one_category else int(rng.integers(1, CATEGORIES + 1))
            blob = _Blob(rng, size, options.holes)
            first = int(rng.integers(0, max(1, frames // 4)))
            tracks = [blob.track(rng, frames, first, 1.0, 0.0)]
            annotations.append({"id": len(annotations) + 1, "video_id": v, "category_id": category, "iscrowd": 0,
                                "segmentations": tracks[0], "areas": None, "bboxes": None})
            for _ in range(options.predictions):
                track = blob.track(rng, frames, int(rng.integers(0, max(1, frames // 4))), rng.uniform(0.7, 1.3),
                                   rng.uniform(0, 0.6))
                results.append({"video_id": v, "category_id": category, "score": round(float(rng.random()), 3),
                                "segmentations": track})
    return {"categories": categories, "videos": videos, "annotations": annotations}, results


class _Blob:
    """A smooth outline on a straight path."""

    def __init__(self, rng, size: tuple[int, int], holes: int):
        import numpy as np

        self.size, self.holes = size, holes
        self.angles = np.linspace(0, 2 * np.pi, 36, endpoint=False)
        waves = [rng.uniform(0, 0.25 / k) * np.cos(k * self.angles + rng.uniform(0, 7)) for k in (2, 3, 4, 5)]
        self.outline = 1 + sum(waves)
        self.radius = min(size) * rng.uniform(0.1, 0.35)
        self.start = rng.uniform(0.25, 0.75, 2) * size[::-1]
        self.speed = rng.uniform(-0.005, 0.005, 2) * size[::-1]

    def track(self, rng, frames: int, first: int, scale: float, shift: float) -> list:
        """Run lengths of all frames, None before ``first``; ``shift`` in radii."""
        offset = rng.normal(size=2) * shift * self.radius
        return [None if t < first else self._mask(rng, t, scale, offset) for t in range(frames)]

    def _mask(self, rng, t: int, scale: float, offset) -> dict:
        import cv2
        import numpy as np
        from pycocotools import mask as coco

        reach = self.radius * scale * (self.outline + rng.normal(size=36) * 0.02)
        centre = self.start + t * self.speed + offset
        points = centre + reach[:, None] * np.stack([np.cos(self.angles), np.sin(self.angles)], axis=1)
        mask = np.zeros(self.size, np.uint8)
        cv2.fillPoly(mask, [np.rint(points).astype(np.int32)], 1)
        for _ in range(self.holes):
            hole = centre + rng.normal(size=2) * self.radius * 0.5
            cv2.circle(mask, tuple(int(x) for x in hole), max(1, int(self.radius * 0.08)), 0, -1)
        packed = coco.encode(np.asfortranarray(mask))
        return {"size": list(self.size), "counts": packed["counts"].decode()}


def _report(reference: dict, results: list, runs: dict, numbers: dict, difference: float) -> dict:
    from rich.console import Console

    from vosplug.evaluation.report import print_table

    middle = {name: [statistics.median(column) for column in zip(*values, strict=True)]
              for name, values in runs.items()}
    speedup = middle["plain loops"][0] / middle["vosplug"][0]
    tracks = f"{len(reference['videos'])} videos, {len(reference['annotations'])} tracks, {len(results)} predictions"
    rows = [(name, [*middle[name], middle["plain loops"][0] / middle[name][0], numbers[name]["AP"]]) for name in runs]
    print_table(Console(), tracks, ("medians", "CPU s", "wall s", "times faster", "AP"), rows, None)
    print(f"largest difference of the {len(numbers['vosplug'])} numbers: {difference:.1e}")
    return {"case": tracks, "runs_cpu_wall_s": runs, "speedup": speedup, "numbers": numbers, "difference": difference}


if __name__ == "__main__":
    raise SystemExit(main())
