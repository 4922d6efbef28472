"""People's own videos: folders of frames with the masks of the frames in which objects start."""

from collections.abc import Sequence
from pathlib import Path

from ..registry import DATASETS
from ..structures import Video
from ..utils.errors import DataError
from ..utils.listing import child, folders_in, has_pictures, masks_in, pictures_in
from ..utils.masks import object_ids, read_mask
from ..utils.notices import warn
from .layout import choose_sequences, need_folder
from .named_videos import NamedVideos

LAYOUT = ("<video>/images/00000.jpg (or the pictures in <video> itself) and <video>/masks/00000.png, named like the "
          "frames in which objects start, or one <video>/mask.png for the first frame")
FIRST_MASK = "mask.png"


@DATASETS.register_module()
class FolderVideos(NamedVideos):
    """A folder of videos, or a single video.

    ``<video>/images`` holds the frames (``<video>`` itself will do), ``<video>/masks`` index PNGs named like their
    frames, or ``<video>/mask.png`` the mask of the first frame. An id starts in the first mask that has it; later masks
    may hold new objects only. If every frame has a mask, the masks serve as reference for scoring too.
    A mask of another size than its frame is resized with a warning.

    Args:
        data_root: folder of videos, or the folder of one video.
        sequences: names to keep; all by default.
        dense: whether the masks are a complete reference, which every frame must have (True), prompts only (False), or
            a reference exactly if every frame has one (None).

    Raises:
        DataError: no video or mask is found, a mask has no frame, or a mask is unreadable.
        ConfigError: unknown sequence.
    """

    metric = "DavisMetric"

    def __init__(self, data_root: str | Path, sequences: Sequence[str] | None = None, dense: bool | None = None):
        self.data_root = need_folder(data_root, LAYOUT)
        self.folders = video_folders(self.data_root)
        if not self.folders:
            raise DataError(f"{self.data_root} has no videos. Expected layout: {LAYOUT}")
        super().__init__(choose_sequences(list(self.folders), sequences, str(self.data_root)))
        self.dense = dense

    def _video(self, name: str) -> Video:
        images, masks = video_files(self.folders[name])
        stems = [image.stem for image in images]
        strange = sorted(set(masks) - set(stems))
        if strange:
            raise DataError(f"video {name}: mask {masks[strange[0]]} has no frame of that name")
        prompts = starting_ids(masks, stems)
        if not prompts:
            raise DataError(f"video {name} has no mask with an object. Expected layout: {LAYOUT}")
        missing = [stem for stem in stems if stem not in masks]
        if self.dense and missing:
            raise DataError(f"video {name}: dense=True, but frame {missing[0]} has no mask")
        dense = not missing if self.dense is None else self.dense
        first = {number: index for index, ids in prompts.items() for number in ids}
        return Video(name=name, image_paths=images, mask_paths=[masks.get(stem) for stem in stems], prompts=prompts,
                     first_frames=first, has_reference=dense, resize_masks=True)


def video_folders(root: Path) -> dict[str, Path]:
    """Name -> folder of each video under ``root``; ``root`` itself if it holds the frames of one video."""
    if not child(root, "images").is_dir():
        folders = {name: root / name for name in folders_in(root) if name.lower() != "masks"}
        found = {name: folder for name, folder in folders.items()
                 if child(folder, "images").is_dir() or has_pictures(folder, FIRST_MASK)}
        left_out = [folder for name, folder in folders.items() if name not in found and any(folder.iterdir())]
        if found and left_out:
            warn(f"{left_out[0]} is left out, as it has no pictures ({len(left_out)} such folders in {root})")
        if found or not has_pictures(root, FIRST_MASK):
            return found
    return {root.resolve().name: root}


def video_files(folder: Path) -> tuple[list[Path], dict[str, Path]]:
    """Frames of a video, in order, and its masks by name of their frame."""
    inner = child(folder, "images")
    images = pictures_in(inner) if inner.is_dir() else pictures_in(folder, without=FIRST_MASK)
    masks = masks_in(child(folder, "masks"), nothing_else=True)
    single = child(folder, FIRST_MASK)
    if single.is_file():
        if images[0].stem in masks:
            raise DataError(f"{folder} has both {FIRST_MASK} and masks/{images[0].stem}.png for its first frame")
        masks = {images[0].stem: single, **masks}
    return images, masks


def starting_ids(masks: dict[str, Path], stems: Sequence[str]) -> dict[int, tuple[int, ...]]:
    """Frame index -> ids that no earlier mask has."""
    known: set[int] = set()
    prompts = {}
    for index, stem in enumerate(stems):
        if stem in masks:
            new = tuple(i for i in object_ids(read_mask(masks[stem])) if i not in known)
            known.update(new)
            if new:
                prompts[index] = new
    return prompts
