"""Videos of which nothing but the pictures is looked at."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..structures import Video
from ..utils.errors import ConfigError, DataError
from ..utils.images import IMAGE_SUFFIXES
from ..utils.listing import by_stem, child, folders_in, has_pictures, natural_key, natural_order, pictures_in
from ..utils.names import check_names, read_names
from ..utils.video_decoding import VIDEO_SUFFIXES, open_decoder
from ..utils.video_frames import in_order
from .folder_videos import FIRST_MASK
from .frame_reader import FrameReader
from .layout import choose_sequences, need_folder

LAYOUT = ("<video>/00000.jpg, <video>/images/00000.jpg or <video>.mp4; with stills=True pictures in any folder")


@dataclass(frozen=True)
class PlainVideo:
    """One video.

    Attributes:
        name: of the video.
        count: number of frames.
        images: a picture per frame; None for a video file.
        file: the video file.
    """

    name: str
    count: int
    images: Sequence[Path] | None = None
    file: Path | None = None

    def read(self, frames: Sequence[int], reader: FrameReader) -> list[np.ndarray]:
        """Frames (H, W, 3) uint8 RGB; those of a file are decoded one after the other, as that alone is exact.

        Raises:
            DataError: a frame cannot be read.
        """
        if self.images is not None:
            video = Video(self.name, self.images, [None] * self.count)
            return [reader.image(video, index) for index in frames]
        wanted, found = set(frames), {}
        decoder = open_decoder(self.file)
        try:
            for index, (_, image) in enumerate(in_order(self.file, decoder)):
                if index in wanted:
                    found[index] = image
                if index >= max(frames):
                    break
        finally:
            decoder.close()
        lost = sorted(wanted - set(found))
        if lost:
            raise DataError(f"{self.file}: frame {lost[0]} of {self.count} cannot be decoded; the video is cut short")
        return [found[index] for index in frames]


def find_videos(root: str | Path, sequences: Sequence[str] | str | None = None) -> list[PlainVideo]:
    """The videos of a folder: folders of pictures and video files, by name. No mask is opened.

    Args:
        root: the folder.
        sequences: names to keep, or the path of a list of them; all by default.

    Raises:
        DataError: there is none.
        ConfigError: a name is unknown.
    """
    root = need_folder(root, LAYOUT)
    folders = {name: inner for name in folders_in(root) if (inner := _pictures(root / name))}
    files = by_stem(root, VIDEO_SUFFIXES, "video files")
    check_names([*folders, *files], root)
    both = next((name for name in files if name in folders), None)
    if both is not None:
        raise DataError(f"{root} has a folder and a video file named {both}: keep one of them")
    if not folders and not files:
        raise DataError(f"{root} has no videos. Expected layout: {LAYOUT}")
    names = read_names(Path(sequences)) if isinstance(sequences, str) else sequences
    kept = choose_sequences(natural_order([*folders, *files]), names, str(root))
    return [_folder_video(name, folders[name]) if name in folders else _file_video(files[name]) for name in kept]


def find_stills(root: str | Path, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> list[PlainVideo]:
    """All pictures below a folder, as videos of one frame.

    Raises:
        DataError: there is none.
        ConfigError: a suffix is not one of pictures.
    """
    strange = [suffix for suffix in suffixes if suffix not in IMAGE_SUFFIXES]
    if strange:
        raise ConfigError(f"{strange[0]!r} is not a suffix of pictures: {', '.join(IMAGE_SUFFIXES)}")
    root = need_folder(root, LAYOUT)
    paths = [path for path in root.rglob("*") if path.suffix.lower() in suffixes and not path.name.startswith(".")]
    paths.sort(key=lambda path: natural_key(path.relative_to(root).as_posix()))
    if not paths:
        raise DataError(f"{root} has no pictures ({', '.join(suffixes)})")
    return [PlainVideo(path.relative_to(root).with_suffix("").as_posix(), 1, [path]) for path in paths]


def _pictures(folder: Path) -> Path | None:
    """The folder that the frames of a video lie in."""
    return next((inner for inner in (child(folder, "images"), folder)
                 if inner.is_dir() and has_pictures(inner, FIRST_MASK)), None)


def _folder_video(name: str, folder: Path) -> PlainVideo:
    images = pictures_in(folder, without=FIRST_MASK)
    return PlainVideo(name, len(images), images)


def _file_video(path: Path) -> PlainVideo:
    decoder = open_decoder(path)
    try:
        stated = [number for number in (len(decoder.packet_times()), decoder.num_frames) if number]
        count = min(stated) if stated else sum(1 for _ in decoder.images())
    finally:
        decoder.close()
    return PlainVideo(path.stem, count, file=path)
