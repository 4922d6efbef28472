"""Segments a video up to a frame and draws where deformable attention reads its memory: points and where they went."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..utils.errors import InputError
from ..utils.files import write_via
from .common import (
    add_model_arguments,
    check_targets,
    command,
    new_parser,
    open_config,
    positive_int,
    write_numbers,
)
from .session_options import add_segmenting_options, open_model, session_options


def build_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = new_parser(__doc__)
    add_model_arguments(parser)
    parser.add_argument("video", help="video file or folder of images")
    parser.add_argument("--mask", required=True, metavar="PNG", help="objects of the first frame")
    parser.add_argument("--binary-mask", action="store_true", help="the mask is a 0/255 foreground mask of one object")
    parser.add_argument("--frame", type=positive_int, required=True, metavar="N",
                        help="index of the frame that asks; the first one, 0, has no memory")
    parser.add_argument("--out", type=Path, required=True, metavar="PNG", help="the picture")
    parser.add_argument("--json", metavar="FILE", help="write how far the points of all frames went")
    add_segmenting_options(parser)
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Segment, draw, and say how far the points went."""
    options = build_parser().parse_args(argv)
    check_targets(options.out, options.json)
    from ..evaluation.offsets import OffsetWatch
    from ..inference.memory_log import need_matplotlib

    if options.out.suffix.lower() != ".png":
        raise InputError(f"--out {options.out}: a file that ends in .png was expected")
    if options.flip or options.scales:
        raise InputError("--scales and --flip have no effect: the points of one view are drawn; leave them out")
    need_matplotlib()
    config = open_config(options)
    model = open_model(options, config)
    watch = OffsetWatch()
    with watch.watch(model) as networks:
        if not networks:
            raise InputError(f"the model of {options.config} has no offset network: there is nothing to draw")
        pictures, frames = segment(model, options, config)
    write_via(options.out, lambda name: draw(name, watch, pictures, frames, options.frame))
    numbers = watch.as_json()
    for name, found in numbers.items():
        print(f"{name}: mean offset {found['mean_offset']:.3f} cells, {100 * found['outside']:.2f}% of the points off "
              f"the map, frames 0 to {options.frame}")
    write_numbers(options.json, {"config": options.config, "networks": numbers})
    print(f"written: {options.out}")
    return 0


def segment(model: Any, options: argparse.Namespace, config: Any) -> tuple[dict[int, Any], dict[str, int]]:
    """Run up to the frame: pictures (H, W, 3) uint8 as the network sees them, by frame; which one each place reads.

    Raises:
        InputError: the video is too short.
    """
    from ..inference.mask_source import MaskSource
    from ..inference.opening import open_reader
    from ..inference.session import VOSSession

    session = VOSSession(model, **{**session_options(options, config), "scales": (1.0,), "flip": False})
    masks, state, pictures = MaskSource(options.mask, binary=options.binary_mask), session.views[0].state, {}
    with open_reader(options.video, prefetch=0) as reader:
        for frame in reader:
            frames = frames_of_memory(state.memory, frame.index)
            pictures = {index: picture for index, picture in pictures.items() if index in frames.values()}
            labels, ids = masks.get(frame, session.ids, named=reader.named) or (None, None)
            session.step(frame.image, labels, ids=ids)
            pictures[frame.index] = seen(model, frame.image, state.geometry)
            if frame.index == options.frame:
                return pictures, frames
    raise InputError(f"--frame {options.frame}: {options.video} has only {frame.index + 1} frames, the first one is 0")


def frames_of_memory(memory: Any, current: int) -> dict[str, int]:
    """Which frame stands for what each place reads: the oldest long-term frame, the last one, the frame itself."""
    entries = [entry for entry in memory or () if entry.grid is not None]
    latest = getattr(memory, "latest", None)
    frames = {"self": current, "memory": entries[-1].frame if entries else current}
    if latest is not None:
        frames |= {"short_term": latest.frame, "long_term": entries[0].frame if entries else latest.frame}
    return frames


def seen(model: Any, image: Any, geometry: Any) -> Any:
    """A frame (H, W, 3) uint8 as the network sees it, resized or padded."""
    import torch

    preprocessor = model.data_preprocessor
    pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)[None]
    frame = preprocessor.denormalize(preprocessor.frames(pixels, geometry)[0])[0]
    return frame.round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()


def extent_of(picture: Any, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Left, right, bottom and top edge of a picture in cells of a map (h, w).

    Frames of k n + 1 pixels have their cells at pixels 0, k, 2k, ...; others are divided into equal cells.
    """
    edges = []
    for pixels, cells in zip(picture.shape[:2], size, strict=True):
        aligned = cells > 1 and pixels % 2 == 1  # padded frames are even
        step = (pixels - 1) / (cells - 1) if aligned else pixels / cells
        edges.append((-0.5 / step, (pixels - 0.5) / step) if aligned else (-0.5, cells - 0.5))
    (top, bottom), (left, right) = edges
    return left, right, bottom, top


def draw(name: str, watch: Any, pictures: Mapping[int, Any], frames: Mapping[str, int], asking: int) -> None:
    """A row per offset network, a column per group: reference points, and arrows to where they went."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    groups = max(points.offsets.shape[1] for points in watch.latest.values())
    height, width = next(iter(pictures.values())).shape[:2]
    figure = Figure(figsize=(4 * groups, (4 * height / width + 0.5) * len(watch.latest)), dpi=120,
                    layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(watch.latest), groups, squeeze=False)
    for row, (network, points) in zip(panels, watch.latest.items(), strict=True):
        frame = frames[points.place]
        left, right, bottom, top = extent_of(pictures[frame], points.size)
        y, x = points.references.flatten(1).numpy()
        for group, axes in enumerate(row):
            axes.axis("off")
            if group >= points.offsets.shape[1]:
                continue
            dy, dx = points.offsets[0, group].flatten(1).numpy()
            axes.imshow(pictures[frame], extent=(left, right, bottom, top), alpha=0.7)
            axes.quiver(x, y, dx, dy, angles="xy", scale_units="xy", scale=1, width=0.002, color="#d62728")
            axes.plot(x, y, ".", markersize=2, color="#1f77b4")
            axes.plot(x + dx, y + dy, ".", markersize=2, color="#d62728")
            axes.set(xlim=(left, right), ylim=(bottom, top))
            axes.set_title(f"{network}\nasked by frame {asking}, on frame {frame}, group {group}", fontsize=6)
    figure.savefig(name)
