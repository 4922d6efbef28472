"""The whole tour in one command: synthetic videos, two baselines, the model of vosplug, a short training."""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

from ..utils.errors import VosplugError
from ..weights import VOS
from .common import command, new_parser, positive_int
from .main import run_verb

CONFIG = "stcn_lite_demo"
SIZE = (240, 432)
NAMES = {"copy": "copy the first mask", "flow": "warp it by DIS optical flow",
         "shipped": "the model that comes with vosplug", "trained": "the same network, just trained"}


def build_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = new_parser(__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo_out"), help="folder of all results (default: demo_out)")
    parser.add_argument("--videos", type=positive_int, default=6, help="held-out synthetic videos (default: 6)")
    parser.add_argument("--iterations", type=positive_int, help="length of the training (default: that of the config)")
    parser.add_argument("--seed", type=int, default=0, help="seed of data and training (default: 0)")
    return parser


def run(verb: str, *arguments) -> None:
    """Run another command of vosplug in this process; its failure ends the tour."""
    arguments = [str(a) for a in arguments]
    print(f"\n$ vosplug {verb} {' '.join(arguments)}", flush=True)
    status = run_verb(verb, arguments)
    if status:
        raise VosplugError(f"the tour stopped: {verb} ended with status {status}")


@command
def main(argv: list[str] | None = None) -> None:
    """Run the tour."""
    args = build_parser().parse_args(argv)
    start = time.time()
    out, data = args.out, args.out / "data"
    run("synthetic", data, "--videos", args.videos, "--val", args.videos, "--size", *SIZE, "--seed",
        args.seed + 1000, "--overwrite")
    test = ("--eval", "davis", "--data-root", data / "davis")
    shown = ["copy", "flow", *(["shipped"] if VOS.is_here else [])]
    run("test", "--baseline", "copy", *test, "--json", out / "copy.json")
    run("test", "--baseline", "flow", *test, "--json", out / "flow.json")
    if VOS.is_here:
        run("test", *test, "--json", out / "shipped.json", "--out", out / "masks" / "shipped", "--show-dir",
            out / "overlays" / "shipped")
        picture(out, data / "davis", "shipped")
    report(out, shown, time.time() - start)
    options = ["--cfg-options", f"train_cfg.max_iters={args.iterations}"] if args.iterations else []
    run("train", CONFIG, "--work-dir", out / "train", "--seed", args.seed, "--overwrite", *options)
    run("test", CONFIG, out / "train" / "final.pth", *test, "--json", out / "trained.json", "--out",
        out / "masks" / "trained", "--show-dir", out / "overlays" / "trained")
    if not VOS.is_here:
        picture(out, data / "davis", "trained")
    report(out, [*shown, "trained"], time.time() - start)


def picture(out: Path, root: Path, model: str) -> None:
    """Write ``result.png``: some frames of the first videos with the masks that a model predicted."""
    import numpy as np

    from ..datasets import DavisDataset
    from ..utils.images import write_image
    from ..utils.masks import read_mask
    from ..visualization.overlay import draw_overlay

    rows = []
    for video in DavisDataset(root, split="val").videos()[:3]:
        places = np.linspace(0, len(video) - 1, 4).round().astype(int)
        masks = out / "masks" / model / video.name
        rows.append(np.concatenate([draw_overlay(video.read_frame(i), read_mask(masks / f"{video.frame_name(i)}.png"))
                                    for i in places], axis=1))
    write_image(out / "result.png", np.concatenate(rows))


def report(out: Path, rows: Sequence[str], seconds: float) -> None:
    """Print the table of what has been tested so far, and write it to ``summary.json``."""
    from rich.console import Console
    from rich.table import Table

    from ..utils.files import write_json

    scores = {key: json.loads((out / f"{key}.json").read_text()) for key in rows}
    table = Table("method", "J&F", "J", "F", "frames/s", title="Held-out synthetic videos", title_justify="left")
    for key in rows:
        numbers = [f"{100 * scores[key][k]:.1f}" for k in ("J&F-Mean", "J-Mean", "F-Mean")]
        table.add_row(NAMES[key], *numbers, f"{scores[key]['fps']:.1f}", style="bold" if key == rows[-1] else "")
    console = Console()
    console.print()
    console.print(table)
    console.print(f"{seconds / 60:.1f} minutes. Overlay videos: {out / 'overlays'}; picture: {out / 'result.png'}",
                  soft_wrap=True)
    write_json(out / "summary.json", {"seconds": seconds, **scores})
