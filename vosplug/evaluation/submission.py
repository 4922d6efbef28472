"""Zip files for the servers of DAVIS (test-dev) and YouTube-VOS: writing them, and finding what is wrong with one.

Layout: DAVIS ``<sequence>/NNNNN.png`` at the top, YouTube-VOS ``Annotations/<video>/<frame>.png``; index PNGs with
the ids of the data set, at the size of the pictures.
"""

import zipfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from ..structures.video import Video
from ..utils.errors import DataError, InputError, did_you_mean
from ..utils.files import write_via
from ..utils.images import picture_size
from ..utils.listing import masks_in
from ..utils.mask_files import is_plain_index_png, open_mask
from ..utils.mask_kinds import present
from ..utils.masks import encode_mask, read_mask
from ..utils.names import check_names, name_fault

KINDS = {"davis": "", "youtube_vos": "Annotations/"}
"""Kind of submission -> folder inside the zip."""

_EARLIEST = (1980, 1, 1, 0, 0, 0)


def write_davis_submission(pred_root: str | Path, videos: Sequence[Video], zip_path: str | Path) -> None:
    """Write the zip for the DAVIS server from ``pred_root/<sequence>/<frame>.png``.

    Args:
        pred_root: folder of the predictions.
        videos: of the split; every frame of them has to be there.
        zip_path: file to write; it is written only if the submission has no fault.

    Raises:
        DataError: the first fault of the predictions, and how many there are, or a video has no proper name.
        OutputError: the file cannot be written.
    """
    _write(Path(pred_root), videos, zip_path, "davis")


def write_youtube_vos_submission(pred_root: str | Path, videos: Sequence[Video], zip_path: str | Path) -> None:
    """Write the zip for the YouTube-VOS server, as :func:`write_davis_submission`.

    ``pred_root`` is a folder of ``<video>/<frame>.png`` or one with such a folder ``Annotations``. The frames to be
    written are those that ``meta.json`` requires (``Video.output_frames``).
    """
    root = Path(pred_root)
    _write(root / "Annotations" if (root / "Annotations").is_dir() else root, videos, zip_path, "youtube_vos")


def validate_submission(zip_path: str | Path, videos: Sequence[Video], kind: str) -> list[str]:
    """Find what a server would refuse or score wrongly: one line per fault, none if the file is right.

    Checked: names and layout of videos and files, missing and extra frames, index PNG with a palette, size of the
    picture, ids.

    Args:
        zip_path: the submission.
        videos: of the split.
        kind: "davis" or "youtube_vos".

    Raises:
        InputError: unknown kind.
    """
    prefix = _prefix(kind)
    try:
        with zipfile.ZipFile(zip_path) as archive:
            damaged = archive.testzip()
            if damaged:
                return [f"{damaged}: damaged in the zip file"]
            return list(_faults(archive, videos, prefix))
    except FileNotFoundError:
        return [f"submission not found: {zip_path}"]
    except (zipfile.BadZipFile, OSError) as error:
        return [f"{zip_path}: not a readable zip file ({error})"]


def _write(root: Path, videos: Sequence[Video], zip_path: str | Path, kind: str) -> None:
    if not root.is_dir():
        raise DataError(f"folder of the predictions not found: {root}")
    check_names([video.name for video in videos], "the data set")

    def save(name: str) -> None:
        with zipfile.ZipFile(name, "w", zipfile.ZIP_STORED) as archive:  # PNG files are compressed already
            for video in videos:
                masks, ids = masks_in(root / video.name), video.prompt_ids()
                for frame in map(video.frame_name, _frames(video)):
                    path = masks.get(frame, root / video.name / f"{frame}.png")
                    # Fixed times make the file depend on the masks alone.
                    info = zipfile.ZipInfo(f"{_prefix(kind)}{video.name}/{frame}.png", _EARLIEST)
                    archive.writestr(info, _index_png(path, ids))
        faults = validate_submission(name, videos, kind)
        if faults:
            more = f" ({len(faults)} faults in all)" if len(faults) > 1 else ""
            raise DataError(f"{faults[0]}{more}; nothing was written")

    write_via(zip_path, save)


def _index_png(path: Path, ids: Collection[int]) -> bytes:
    """The bytes of a mask file, encoded anew unless it is an 8-bit index PNG already."""
    labels = read_mask(path, ids=ids)
    data = path.read_bytes()
    return data if is_plain_index_png(data) else encode_mask(labels)


def _faults(archive: zipfile.ZipFile, videos: Sequence[Video], prefix: str) -> Iterator[str]:
    yield from (fault for video in videos if (fault := name_fault(video.name)))
    names = [info.filename for info in archive.infolist() if not info.is_dir()]
    expected = {f"{prefix}{video.name}/{video.frame_name(i)}.png": (video, i) for video in videos
                for i in _frames(video)}
    for name in sorted({name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else ()):
        yield f"{name}: twice in the zip file"
    given = set(names)
    yield from (f"{name}: missing" for name in expected if name not in given)
    for name in sorted(given - set(expected)):
        yield f"{name}: does not belong there;{did_you_mean(name, expected) or ' no frame of that name is required'}"
    sizes: dict[str, tuple[int, int]] = {}
    for name, (video, index) in expected.items():
        if name in given:
            if video.name not in sizes:
                sizes[video.name] = picture_size(video.image_paths[index])
            yield from _mask_faults(name, archive.read(name), video, sizes[video.name])


def _mask_faults(name: str, data: bytes, video: Video, size: tuple[int, int]) -> Iterator[str]:
    if not is_plain_index_png(data):
        yield f"{name}: not an 8-bit index PNG (mode P)"
        return
    try:
        mask = open_mask(Path(name), data)
    except DataError as error:
        yield str(error)
        return
    height, width = mask.values.shape
    if (height, width) != size:
        yield f"{name}: {width}x{height}, but the pictures are {size[1]}x{size[0]} (width x height)"
    ids = present(mask.values)
    known = set(video.prompt_ids()) or set(range(1, 255))
    extra = [i for i in ids if i and i not in known]
    if extra:
        yield f"{name}: id {extra[0]} is not an object of {video.name} (ids {', '.join(map(str, sorted(known)))})"
    if len(mask.palette) <= ids[-1]:
        yield f"{name}: the palette has no colour for id {ids[-1]}"


def _frames(video: Video) -> Sequence[int]:
    return range(len(video)) if video.output_frames is None else video.output_frames


def _prefix(kind: str) -> str:
    if kind not in KINDS:
        raise InputError(f"unknown kind of submission {kind!r}.{did_you_mean(kind, KINDS)} Known: {', '.join(KINDS)}.")
    return KINDS[kind]
