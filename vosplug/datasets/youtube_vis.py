"""YouTube-VIS 2019 and 2021 (Yang, Fan, Xu: Video Instance Segmentation, ICCV 2019)."""

from collections.abc import Sequence
from pathlib import Path

from ..registry import DATASETS
from ..structures import VideoDataset
from ..structures.vis_video import VISTrack, VISVideo
from ..utils.errors import ConfigError, DataError, did_you_mean
from ..utils.vis_json import VISFile, read_vis_file
from .layout import check_choice, choose_sequences, need_folder

LAYOUT = ("<split>.json (or <split>/instances.json) and <split>/JPEGImages/<video>/00000.jpg with split = train, valid "
          "or test, in data_root of the config or --data-root. Without data, `python tools/make_synthetic.py "
          "data/synthetic` makes such a folder, data/synthetic/youtube_vis")
SPLITS = ("train", "valid", "test")
YEARS = ("2019", "2021")


@DATASETS.register_module()
class YouTubeVISDataset(VideoDataset):
    """Videos of YouTube-VIS, with the tracks of their objects where the split has annotations.

    Args:
        data_root: folder of the annotation files and splits, or its parent if that has a folder named like ``year``.
        split: ``train``, ``valid`` or ``test``. The published valid and test files have no annotations.
        year: 2019 or 2021; chooses ``data_root/<year>`` where that folder exists.
        annotation_file: another file than that of the split, relative to ``data_root`` or absolute.
        frame_stride: keep every n-th frame only (of the annotations too): videos at a lower frame rate.
        sequences: names of videos to keep; all by default.

    Attributes:
        classes: names of the categories, by ascending id.
        category_ids: their ids in the file.
        file: the annotation file.

    Raises:
        ConfigError: unknown split, year or sequence.
        DataError: a folder or file is missing, or the annotation file is wrong.
    """

    metric = "YouTubeVISMetric"

    def __init__(self, data_root: str | Path, split: str = "train", year: int = 2019,
                 annotation_file: str | Path | None = None, frame_stride: int = 1,
                 sequences: Sequence[str] | None = None):
        check_choice("YouTube-VIS split", split, SPLITS)
        check_choice("YouTube-VIS year", str(year), YEARS)
        if isinstance(frame_stride, bool) or not isinstance(frame_stride, int) or frame_stride < 1:
            raise ConfigError(f"YouTubeVISDataset needs frame_stride >= 1, got {frame_stride!r}")
        root = need_folder(data_root, LAYOUT)
        self.data_root = root / str(year) if (root / str(year)).is_dir() else root
        self.split = split
        self.frame_stride = frame_stride
        self.file: VISFile = read_vis_file(self._annotation_path(annotation_file))
        self.classes = tuple(self.file.categories.values())
        self.category_ids = tuple(self.file.categories)
        by_name = {video["name"]: number for number, video in self.file.videos.items()}
        self.names = choose_sequences(list(by_name), sequences, f"YouTube-VIS {split}")
        self._ids = [by_name[name] for name in self.names]
        self.image_root = self._image_root()
        self._videos: list[VISVideo] | None = None

    def videos(self) -> list[VISVideo]:
        """All videos of the split, by ascending id."""
        if self._videos is None:
            self._videos = [self._video(number).subsampled(self.frame_stride) for number in self._ids]
        return self._videos

    def __len__(self) -> int:
        return len(self.names)

    def _annotation_path(self, given: str | Path | None) -> Path:
        names = [given] if given is not None else [f"{self.split}.json", f"{self.split}/instances.json",
                                                   f"annotations/{self.split}.json",
                                                   f"annotations/instances_{self.split}.json"]
        for name in names:
            if (self.data_root / name).is_file():
                return self.data_root / name
        found = sorted(path.name for path in self.data_root.glob("*.json"))
        raise DataError(f"annotation file not found: {self.data_root / names[0]}."
                        f"{did_you_mean(Path(names[0]).name, found)} Expected layout: {LAYOUT}")

    def _image_root(self) -> Path:
        """Folder that the file names are relative to: the first candidate that has the first picture of a video."""
        candidates = [self.data_root / self.split / "JPEGImages", self.data_root / self.split,
                      self.data_root / "JPEGImages", self.data_root]
        first = [self.file.videos[number]["file_names"][0] for number in self._ids]
        for folder in candidates:
            if any((folder / name).is_file() for name in first):
                return folder
        raise DataError(f"pictures not found: {candidates[0] / first[0]}. Expected layout: {LAYOUT}")

    def _video(self, number: int) -> VISVideo:
        entry, size = self.file.videos[number], self.file.size(number)
        annotations = (self.file.annotations or {}).get(number, ())
        tracks = tuple(
            VISTrack(id=a["id"], category_id=a["category_id"], category=self.file.categories[a["category_id"]],
                     segmentations=a["segmentations"], size=size, boxes=a.get("bboxes"), areas=a.get("areas"),
                     crowd=bool(a.get("iscrowd", 0)), name=f"{self.file.path}, annotation {a['id']}")
            for a in annotations)
        return VISVideo(id=number, name=entry["name"], size=size, tracks=tracks,
                        image_paths=[self.image_root / name for name in entry["file_names"]],
                        has_reference=self.file.annotations is not None)
