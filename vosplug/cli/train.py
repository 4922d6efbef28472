"""Train a model from a config."""

import argparse
from datetime import timedelta

from .common import add_config_options, command, new_parser, open_config

AUTO = "auto"


def build_parser() -> argparse.ArgumentParser:
    """Options of the command."""
    parser = new_parser("Train a model from a config, stage by stage.")
    parser.add_argument("config", metavar="CONFIG", help="config file, or name of a config of vosplug")
    add_config_options(parser)
    group = parser.add_argument_group("training")
    group.add_argument("--resume", action="store_true", help="go on where an earlier run into the work dir stopped")
    group.add_argument("--overwrite", action="store_true", help="remove the checkpoints of an earlier run first")
    group.add_argument("--amp", nargs="?", const=AUTO, choices=("bf16", "fp16", AUTO), metavar="bf16|fp16|auto",
                       help="mixed precision; without a value auto: what the device computes in")
    group.add_argument("--seed", type=int, help="seed of the run, instead of seed of the config (default 0)")
    group.add_argument("--device", help="cpu, cuda, cuda:N or mps; by default a CUDA GPU if there is one")
    group.add_argument("--launcher", default="none", metavar="none|pytorch",
                       help="pytorch if torchrun starts the processes")
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Run the command."""
    args = build_parser().parse_args(argv)
    cfg = open_config(args, data_root=args.data_root, work_dir=args.work_dir)
    from ..engine.processes import check_launcher, pick_device, process_group  # here, as torch takes seconds to import
    from ..engine.training import run_training

    check_launcher(args.launcher)
    device = pick_device(args.device)
    if args.seed is not None:
        cfg.seed = args.seed
    if args.amp is not None:
        set_amp(cfg, args.amp)
    with process_group(args.launcher, device):
        results = run_training(cfg, resume=args.resume, overwrite=args.overwrite, device=device)
        report(cfg, results)
    return 0


def set_amp(cfg, amp: str) -> None:
    """Set mixed precision in the config and in every stage that has its own setting."""
    for settings in (cfg, *(cfg.get("stages") or ())):
        if settings.get("optim_wrapper"):
            settings["optim_wrapper"]["amp"] = amp


def report(cfg, results) -> None:
    """Print the table at the end."""
    from mmengine.dist import is_main_process
    from rich.console import Console
    from rich.table import Table

    if not is_main_process():
        return
    table = Table(title="Training")
    for name in ("stage", "iterations", "time", "best validation"):
        table.add_column(name)
    for result in results:
        best = result.best
        shown = f"{best['metric']} {best['score']:.4f} at {best['iter']}" if best else "-"
        table.add_row(result.name, str(result.iterations), str(timedelta(seconds=round(result.seconds))), shown)
    console = Console()
    console.print(table)
    console.print(f"weights: {cfg.work_dir}/final.pth", highlight=False, soft_wrap=True)
