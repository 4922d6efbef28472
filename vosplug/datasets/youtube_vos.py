"""YouTube-VOS 2018 and 2019 (Xu et al., arXiv:1809.03327)."""

from collections.abc import Sequence
from pathlib import Path

from ..registry import DATASETS
from ..structures import Video
from ..utils.errors import DataError
from ..utils.listing import masks_in, natural_order, pictures_in
from .layout import check_choice, choose_sequences, need_file, need_folder
from .named_videos import NamedVideos
from .youtube_vos_meta import TRAINING_CATEGORIES, VideoMeta, read_meta, read_seen_unseen

LAYOUT = ("<split>/JPEGImages/<video>/00000.jpg, <split>/Annotations/<video>/00000.png, <split>/meta.json with split = "
          "train, valid or test; frames at 30 fps in <split>_all_frames/JPEGImages")
SPLITS = ("train", "valid", "valid_all_frames", "test", "test_all_frames")


@DATASETS.register_module()
class YouTubeVOSDataset(NamedVideos):
    """Videos of YouTube-VOS. Objects may start at any frame; each is predicted on the frames that ``meta.json`` lists.

    In ``valid`` and ``test`` an object starts at its first listed frame, from the mask of that frame; of a later mask
    only the objects that start there are taken. ``*_all_frames`` propagates over all frames (30 fps); the frames to be
    written are the same as without. Frames before the first prompt exist and have nothing to predict.

    Args:
        data_root: folder of the splits, or its parent if that has a folder named like ``year``.
        split: ``train``, ``valid``, ``valid_all_frames``, ``test`` or ``test_all_frames``.
        year: 2018 or 2019; chooses ``data_root/<year>`` where that folder exists.
        reference_root: folder with ``Annotations`` of all frames for local scoring; by default ``<split>_reference``
            beside the split, if it exists. The published validation set has none.
        sequences: names to keep; all by default.

    Attributes:
        seen_categories: categories that count as seen: those of ``seen_unseen.json``, else the 65 training categories.

    Raises:
        ConfigError: unknown split, year or sequence.
        DataError: a folder, file, frame or entry of ``meta.json`` is missing or wrong.
    """

    metric = "YouTubeVOSMetric"

    def __init__(self, data_root: str | Path, split: str = "valid", year: int = 2019,
                 reference_root: str | Path | None = None, sequences: Sequence[str] | None = None):
        check_choice("YouTube-VOS split", split, SPLITS)
        check_choice("YouTube-VOS year", str(year), ("2018", "2019"))
        root = need_folder(data_root, LAYOUT)
        self.data_root = root / str(year) if (root / str(year)).is_dir() else root
        self.split = split
        self.base = split.removesuffix("_all_frames")
        self.split_root = need_folder(self.data_root / self.base, LAYOUT)
        self.image_root = self._image_root()
        self.mask_root = need_folder(self.split_root / "Annotations", LAYOUT)
        self.reference_root = self._reference_root(reference_root)
        self.meta = read_meta(need_file(self.split_root / "meta.json", LAYOUT))
        self.seen_categories = self._seen_categories()
        super().__init__(choose_sequences(natural_order(self.meta), sequences, f"YouTube-VOS {split}"))

    def _video(self, name: str) -> Video:
        build = self._training_video if self.split == "train" else self._prompted_video
        return build(name, self.meta[name])

    def _image_root(self) -> Path:
        if self.split == self.base:
            return need_folder(self.split_root / "JPEGImages", LAYOUT)
        nested = self.data_root / "all_frames" / self.split / "JPEGImages"
        return nested if nested.is_dir() else need_folder(self.data_root / self.split / "JPEGImages", LAYOUT)

    def _reference_root(self, given: str | Path | None) -> Path | None:
        beside = self.data_root / f"{self.base}_reference"
        if given is None:
            return beside / "Annotations" if (beside / "Annotations").is_dir() else None
        given = need_folder(given, "a folder with Annotations/<video>/<frame>.png")
        return given / "Annotations" if (given / "Annotations").is_dir() else given

    def _seen_categories(self) -> frozenset[str]:
        for folder in (self.data_root, self.split_root):
            if (folder / "seen_unseen.json").is_file():
                return read_seen_unseen(folder / "seen_unseen.json")
        return frozenset(TRAINING_CATEGORIES)

    def _training_video(self, name: str, meta: VideoMeta) -> Video:
        images = pictures_in(need_folder(self.image_root / name, LAYOUT))
        masks = masks_in(need_folder(self.mask_root / name, LAYOUT))
        positions = self._positions(name, images, meta)
        return Video(name=name, image_paths=images, mask_paths=[masks.get(image.stem) for image in images],
                     categories=meta.categories, has_reference=all(frame in masks for frame in meta.output_frames),
                     **self._objects(meta, positions))

    def _prompted_video(self, name: str, meta: VideoMeta) -> Video:
        images = pictures_in(need_folder(self.image_root / name, LAYOUT))
        given = masks_in(need_folder(self.mask_root / name, LAYOUT))
        positions = self._positions(name, images, meta)
        prompt_paths = {}
        for frame in meta.first_frames.values():
            if frame not in given:
                raise DataError(f"YouTube-VOS video {name}: objects start at frame {frame}, whose mask is missing: "
                                f"{self.mask_root / name / frame}.png")
            prompt_paths[positions[frame]] = given[frame]
        references = {} if self.reference_root is None else masks_in(self.reference_root / name)
        paths = [references.get(image.stem, given.get(image.stem)) for image in images]
        return Video(name=name, image_paths=images, mask_paths=paths, prompt_paths=prompt_paths,
                     output_frames=sorted(positions[frame] for frame in meta.output_frames),
                     categories=meta.categories, has_reference=all(frame in references for frame in meta.output_frames),
                     **self._objects(meta, positions))

    def _positions(self, name: str, images: list[Path], meta: VideoMeta) -> dict[str, int]:
        positions = {image.stem: index for index, image in enumerate(images)}
        for frame in meta.output_frames:
            if frame not in positions:
                raise DataError(f"YouTube-VOS video {name}: meta.json lists frame {frame}, which "
                                f"{self.image_root / name} lacks; its frames are {images[0].stem} .. "
                                f"{images[-1].stem}")
        return positions

    @staticmethod
    def _objects(meta: VideoMeta, positions: dict[str, int]) -> dict:
        prompts: dict[int, tuple[int, ...]] = {}
        for number, frame in sorted(meta.first_frames.items()):
            prompts[positions[frame]] = (*prompts.get(positions[frame], ()), number)
        return {
            "prompts": dict(sorted(prompts.items())),
            "first_frames": {number: positions[frame] for number, frame in meta.first_frames.items()},
            "required_frames": {number: tuple(positions[f] for f in frames) for number, frames in meta.frames.items()},
        }
