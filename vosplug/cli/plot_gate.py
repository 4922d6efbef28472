"""Shows what a reuse gate saves and costs: quality against reuse, work and speed, beside gates that learn nothing."""

import argparse
import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..utils.errors import InputError
from .common import (
    RANDOM,
    add_config_options,
    add_model_arguments,
    command,
    dataset_changes,
    new_parser,
    open_config,
    positive_int,
)
from .session_options import add_session_options, open_model, session_options

MODES = ("translate", "copy", "fusion")
GATES = ("own", "oracle", "scheduled", "random", "change")
REFERENCES = ("previous", "last_full")


def build_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = new_parser(__doc__)
    add_model_arguments(parser, RANDOM)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for curve.json and the plots")
    data = parser.add_argument_group("data (DAVIS layout, reference masks on all frames)")
    data.add_argument("--set", dest="split", help="split (default: that of the config, or val)")
    data.add_argument("--year", help="2016 or 2017")
    data.add_argument("--sequences", nargs="+", metavar="NAME", help="only these videos")
    group = parser.add_argument_group("what is tried")
    group.add_argument("--gates", type=words(GATES), default=["own"], metavar="NAME,...",
                       help=f"of {', '.join(GATES)} (default own)")
    group.add_argument("--modes", type=words(MODES), metavar="NAME,...",
                       help=f"of {', '.join(MODES)} (default: that of the config)")
    group.add_argument("--taus", type=shares, default=[1.0, 0.9, 0.7, 0.5, 0.3, 0.1], metavar="T,...",
                       help="thresholds of the model's own gate and of oracles (default 1,.9,.7,.5,.3,.1)")
    group.add_argument("--tau-copy", type=shares, default=[0.9], metavar="T,...",
                       help="second threshold of fusion, where it is above the first (default .9)")
    group.add_argument("--references", type=words(REFERENCES), default=list(REFERENCES), metavar="NAME,...",
                       help="frame that the oracle compares with: previous, last_full (default both)")
    group.add_argument("--every", type=numbers(positive_int), default=[2, 3, 4], metavar="N,...",
                       help="distances of full frames of the scheduled gate (default 2,3,4)")
    group.add_argument("--rates", type=shares, default=[0.2, 0.4, 0.6, 0.8], metavar="R,...",
                       help="rates of the random gate, and aims of the change gate (default .2,.4,.6,.8)")
    group.add_argument("--max-reuse", type=numbers(limit), default=[None], metavar="N,...",
                       help="frames in a row that the own gate may reuse; none: no limit (default none)")
    group.add_argument("--target-rate", type=share, metavar="R",
                       help="find the tau of this reuse rate, and write it into DIR/target_rate.py")
    group.add_argument("--perfect", action="store_true", help="frames that are computed have their reference masks")
    group.add_argument("--pictures", type=positive_int, metavar="N",
                       help="draw change, scores and features of N reused frames (of the own gate) into DIR/pictures")
    add_session_options(parser)
    add_config_options(parser, work_dir=False)
    return parser


@dataclass
class Study:
    """A model on a data set, again and again."""

    model: Any
    dataset: Any
    session: dict
    perfect: bool

    def run(self, setting: Any) -> Any:
        """Segment the data set with the model deciding so; tell what came out."""
        from ..evaluation.metrics.davis import DavisMetric
        from ..evaluation.reuse import run_setting

        result = run_setting(self.model, self.dataset, DavisMetric(), setting, session_options=self.session,
                             perfect=self.perfect)
        rate, work, total = result.work.reuse.rate(), result.work.macs_g(), result.work.reuse.total()
        print(f"{setting.name}, {setting.point}: J&F {100 * result.scores['J&F-Mean']:.1f}, J "
              f"{100 * result.scores['J-Mean']:.1f}, reuse rate {rate or 0:.3f} ({total.reused} of "
              f"{total.frames}), {work:.3f} GMACs and {1 / result.fps:.3f} s per frame", flush=True)
        return result


@command
def main(argv: list[str] | None = None) -> int:
    """Run every setting, then write numbers and plots."""
    options = build_parser().parse_args(argv)
    check_arguments(options)
    from ..visualization.figures import need_matplotlib

    need_matplotlib()
    config = open_config(options)
    dataset = build_dataset(config, options)
    study = Study(open_model(options, config), dataset, session_options(options, config), options.perfect)
    modes = options.modes or [config["model"].get("mode", "translate")]
    runs = [study.run(setting) for setting in all_settings(study, options, modes)]
    target = None
    if options.target_rate is not None:
        target = write_target(study, config, options, modes[0])
    report(study, runs, options, target)
    if options.pictures:
        draw_pictures(study, options)
    return 0


def all_settings(study: Study, options: argparse.Namespace, modes: Sequence[str]) -> list:
    """What is tried, in order; the change gate is asked first where it would draw the line."""
    from ..evaluation.reuse.search import change_taus
    from ..evaluation.reuse.setting import GateSetting, in_modes, settings_of

    settings = settings_of(options.gates, modes, taus=options.taus, tau_copies=options.tau_copy, every=options.every,
                           rates=options.rates, references=options.references, max_reuse=options.max_reuse)
    if "change" in options.gates:
        asked = study.run(GateSetting("change", 1.0, modes[0] if modes[0] != "fusion" else "copy"))
        taus = change_taus([c.probability for c in asked.choices], options.rates)
        settings += [found for tau in taus for found in in_modes(GateSetting("change", tau), modes, options.tau_copy)]
    return settings


def write_target(study: Study, config: Any, options: argparse.Namespace, mode: str) -> dict:
    """Find the tau of ``--target-rate``, and write the config with it."""
    from ..evaluation.reuse.search import tau_of_rate
    from ..evaluation.reuse.setting import GateSetting
    from ..utils.files import write_text

    copy_above = max(options.tau_copy) if mode == "fusion" else None
    found = tau_of_rate(study.run, GateSetting("own", mode=mode, tau_copy=copy_above), options.target_rate)
    settings = copy.deepcopy(config)
    settings["model"].update(tau=found.setting.tau, mode=mode, tau_copy=copy_above)
    path = options.out / "target_rate.py"
    write_text(path, settings.pretty_text)
    print(f"reuse rate {found.work.reuse.rate():.3f} at tau {found.setting.tau:g}, wanted {options.target_rate:g}; "
          f"config: {path}")
    return {"wanted": options.target_rate, "config": str(path), **found.as_json()}


def report(study: Study, runs: list, options: argparse.Namespace, target: dict | None) -> None:
    """Write curve.json and the plots."""
    from ..evaluation.reuse import ReferenceMasks
    from ..utils.files import write_json
    from ..visualization import gate_plots

    alike = {video.name: ReferenceMasks(video).consecutive() for video in study.dataset.videos()}
    ious = [value for values in alike.values() for value in values]
    rows = [run.as_json() for run in runs]
    write_json(options.out / "curve.json", {
        "config": options.config, "weights": options.checkpoint or "random", "perfect": options.perfect,
        "videos": len(alike), "pairs": len(ious), "share_above_0.7": float(np.mean(np.array(ious) > 0.7)),
        "iou_by_video": {name: float(np.mean(values)) for name, values in alike.items()}, "target": target,
        "runs": rows})
    curves: dict[str, list] = {}
    for run, row in zip(runs, rows, strict=True):
        curves.setdefault(run.setting.name, []).append(row)
    written = ["curve.json", "curve.png", "similarity.png", "drift.png"]
    gate_plots.plot_curves(curves, options.out / "curve.png")
    own = [(run, row) for run, row in zip(runs, rows, strict=True) if run.setting.gate == "own" and run.choices]
    if own:
        written.append("calibration.png")
        gate_plots.plot_calibration({f"{run.setting.name}, {run.setting.point}": (
            [c.probability for c in run.choices], [c.iou for c in run.choices], row["rho"]) for run, row in own},
            options.out / "calibration.png")
    gate_plots.plot_similarity(ious, {
        f"{run.setting.name}, {run.setting.point}": [(float(np.mean(alike[name])), values["J&F-Mean"])
                                                     for name, values in row["videos"].items()]
        for run, row in list(zip(runs, rows, strict=True))[:8]}, options.out / "similarity.png")
    gate_plots.plot_drift({f"{run.setting.name}, {run.setting.point}": row["J_by_frame"]
                           for run, row in list(zip(runs, rows, strict=True))[:8]}, options.out / "drift.png")
    for name in written:
        print(f"written: {options.out / name}")


def draw_pictures(study: Study, options: argparse.Namespace) -> None:
    """Draw what the change generator and the translator did on some reused frames."""
    from ..evaluation.metrics.davis import DavisMetric
    from ..evaluation.reuse import GateSetting, run_setting
    from ..evaluation.reuse.pictures import recording
    from ..visualization.gate_plots import plot_reused

    tau = study.model.tau
    with recording(study.model) as recorder:
        run_setting(study.model, study.dataset, DavisMetric(), GateSetting("own", tau), recorder=recorder,
                    session_options=study.session, perfect=study.perfect)
    frames = recorder.chosen(options.pictures)
    if not frames:
        print(f"no pictures: at tau {tau} nothing is reused")
    for frame in frames:
        path = options.out / "pictures" / f"{frame.video}_{frame.frame:05d}_{frame.value}.png"
        plot_reused(frame.picture, frame.maps, f"{frame.video}, frame {frame.frame}, object {frame.value}: mean square "
                    f"of the error of the change {frame.error:.4f}", path)
        print(f"written: {path}")


def check_arguments(options: argparse.Namespace) -> None:
    """Raise :class:`InputError` for what argparse cannot know."""
    if options.out.exists() and not options.out.is_dir():
        raise InputError(f"--out {options.out} is not a folder")
    if options.scales is not None or options.flip:
        raise InputError("--scales and --flip have no meaning here: each view of a frame decides for itself")
    if "fusion" in (options.modes or ()) and options.tau_copy is None:
        raise InputError("the mode fusion needs --tau-copy")


def build_dataset(config: Any, options: argparse.Namespace) -> Any:
    """``test_dataset`` of the config if it has DAVIS's layout, else that of ``--data-root``."""
    from ..registry import DATASETS
    from ..utils.config_check import find_type

    given = config.get("test_dataset")
    if given is None or getattr(find_type(given["type"]), "metric", None) != "DavisMetric":
        given = {"type": "DavisDataset"}
    settings = {**given, **dataset_changes(options)}
    if "data_root" not in settings:
        raise InputError("--data-root is needed: the config names no DAVIS data")
    dataset = DATASETS.build(settings)
    lacking = [video.name for video in dataset.videos() if not video.has_reference]
    if lacking:
        raise InputError(f"video {lacking[0]} has no reference masks, which true IoUs, oracles and scores need")
    return dataset


def words(known: Sequence[str]) -> Any:
    """Type of an option that takes some of ``known``, with commas between."""
    def parse(text: str) -> list[str]:
        given = [word.strip() for word in text.split(",") if word.strip()]
        wrong = [word for word in given if word not in known]
        if wrong or not given:
            raise argparse.ArgumentTypeError(f"expected some of {', '.join(known)}, got {text!r}")
        return given
    return parse


def numbers(kind: Any) -> Any:
    """Type of an option that takes numbers with commas between."""
    def parse(text: str) -> list:
        try:
            return [kind(word) for word in text.split(",")]
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"expected numbers with commas between, got {text!r}") from error
    return parse


def share(text: str) -> float:
    """Type of an option that takes a number in 0..1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number in 0..1, got {text}")
    return value


def limit(text: str) -> int | None:
    """Type of a limit that may be ``none``."""
    return None if text.strip().lower() == "none" else positive_int(text)


shares = numbers(share)
