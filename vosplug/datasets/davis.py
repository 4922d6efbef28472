"""DAVIS 2016 and 2017 (Perazzi et al., CVPR 2016; Pont-Tuset et al., arXiv:1704.00675)."""

from collections.abc import Sequence
from pathlib import Path

from ..registry import DATASETS
from ..structures import Video
from ..utils.errors import DataError, did_you_mean
from ..utils.listing import masks_in, pictures_in
from ..utils.masks import object_ids, read_mask
from ..utils.names import read_names
from .layout import check_choice, choose_sequences, need_folder
from .named_videos import NamedVideos

LAYOUT = ("JPEGImages/<resolution>/<sequence>/00000.jpg, Annotations/<resolution>/<sequence>/00000.png, "
          "ImageSets/<year>/<split>.txt")
SPLITS = {"2016": ("train", "val", "trainval"), "2017": ("train", "val", "trainval", "test-dev", "test-challenge")}
PROMPT_ONLY = ("test-dev", "test-challenge")


@DATASETS.register_module()
class DavisDataset(NamedVideos):
    """Videos of DAVIS. Every object starts in the first frame.

    Args:
        data_root: folder with ``JPEGImages``, ``Annotations`` and ``ImageSets``.
        split: ``train``, ``val``, ``trainval`` (both lists, if there is no ``trainval.txt``), or, for 2017,
            ``test-dev`` and ``test-challenge``, of which only the first frame has a mask.
        year: ``"2017"`` (ids) or ``"2016"``: one foreground object, read from ``Annotations_2016`` (0/255) if that
            folder exists, else everything in ``Annotations`` but 0 becomes 1. The folders of the
            original release of 2016, whose lists lie in ``ImageSets/<resolution>``, are understood too.
        resolution: ``480p`` or ``Full-Resolution``, the folder below ``JPEGImages``.
        sequences: names to keep; all of the split by default.

    Raises:
        ConfigError: unknown split, year or sequence.
        DataError: a folder, list or frame is missing or misnamed, or a list has a line that is no name.
    """

    metric = "DavisMetric"

    def __init__(self, data_root: str | Path, split: str = "val", year: str | int = "2017", resolution: str = "480p",
                 sequences: Sequence[str] | None = None):
        self.year = str(year)
        check_choice("DAVIS year", self.year, tuple(SPLITS))
        check_choice(f"DAVIS {self.year} split", split, SPLITS[self.year])
        self.data_root = need_folder(data_root, LAYOUT)
        self.split = split
        self.image_root = need_folder(self.data_root / "JPEGImages" / resolution, LAYOUT)
        self.mask_root = self._mask_root(resolution)
        super().__init__(choose_sequences(self._listed(resolution), sequences, f"DAVIS {self.year} {split}"))

    def _mask_root(self, resolution: str) -> Path:
        binary = self.data_root / "Annotations_2016" / resolution
        if self.year == "2016" and binary.is_dir():
            return binary
        return need_folder(self.data_root / "Annotations" / resolution, LAYOUT)

    def _listed(self, resolution: str) -> list[str]:
        folder = self.data_root / "ImageSets" / self.year
        if self.year == "2016" and not folder.is_dir() and (folder.parent / resolution).is_dir():
            folder = folder.parent / resolution
        need_folder(folder, LAYOUT)
        path = folder / f"{self.split}.txt"
        paths = [path] if path.is_file() or self.split != "trainval" else [folder / "train.txt", folder / "val.txt"]
        names = []
        for path in paths:
            if not path.is_file():
                found = sorted(p.stem for p in folder.glob("*.txt"))
                raise DataError(f"list not found: {path}.{did_you_mean(path.stem, found)} "
                                f"Lists there: {', '.join(found) or 'none'}. Expected layout: {LAYOUT}")
            names += read_names(path)
        if not names:
            raise DataError(f"{path} lists no sequence")
        return names

    def _video(self, name: str) -> Video:
        images = pictures_in(need_folder(self.image_root / name, LAYOUT))
        masks = masks_in(need_folder(self.mask_root / name, LAYOUT))
        paths = [masks.get(image.stem) for image in images]
        if paths[0] is None:
            raise DataError(f"DAVIS sequence {name}: the first frame has no mask "
                            f"({self.mask_root / name / images[0].stem}.png); objects start there")
        scored = self.split not in PROMPT_ONLY
        if scored and None in paths:
            frame = images[paths.index(None)].stem
            raise DataError(f"DAVIS sequence {name}: frame {frame} has no mask ({self.mask_root / name / frame}.png)")
        binary = self.year == "2016"
        ids = tuple(object_ids(read_mask(paths[0], binary=binary)))
        if not ids:
            raise DataError(f"{paths[0]}: the first mask of DAVIS sequence {name} has no object")
        if not scored:
            paths = [paths[0]] + [None] * (len(images) - 1)
        return Video(name=name, image_paths=images, mask_paths=paths, prompts={0: ids},
                     first_frames=dict.fromkeys(ids, 0), binary=binary, has_reference=scored)
