"""Result files and submissions of YouTube-VIS: writing them, and finding what is wrong with one.

A result file is a list of ``{"video_id", "category_id", "score", "segmentations"}``; a submission is a zip file with a
result file called ``results.json``.
"""

import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ..utils.errors import DataError
from ..utils.files import write_text, write_via
from ..utils.vis_json import VISFile, check_vis_results
from .functional.track_masks import read_tracks

NAME = "results.json"
FIELDS = ("video_id", "category_id", "score", "segmentations")

_EARLIEST = (1980, 1, 1, 0, 0, 0)


def write_vis_results(path: str | Path, results: Iterable[Mapping]) -> None:
    """Write a result file atomically.

    Args:
        path: of the JSON file.
        results: with ``video_id``, ``category_id``, ``score`` and ``segmentations`` (compressed run lengths or None).
            Other fields are left out.

    Raises:
        OutputError: the file cannot be written.
    """
    write_text(path, _text(results))


def write_vis_submission(path: str | Path, results: Sequence[Mapping], reference: VISFile) -> None:
    """Write a submission; it is written only if it has no fault.

    Args:
        path: of the zip file.
        results: as for :func:`write_vis_results`.
        reference: the annotation file of the data set (it may be without annotations).

    Raises:
        DataError: the first fault of the results, and how many there are.
        OutputError: the file cannot be written.
    """
    text = _text(results)

    def save(name: str) -> None:
        with zipfile.ZipFile(name, "w", zipfile.ZIP_DEFLATED) as archive:
            # Fixed times make the file depend on the results alone.
            archive.writestr(zipfile.ZipInfo(NAME, _EARLIEST), text, zipfile.ZIP_DEFLATED)
        faults = validate_vis_submission(name, reference)
        if faults:
            more = f" ({len(faults)} faults in all)" if len(faults) > 1 else ""
            raise DataError(f"{faults[0]}{more}; nothing was written")

    write_via(path, save)


def validate_vis_submission(path: str | Path, reference: VISFile) -> list[str]:
    """Find what a server would refuse or score wrongly: one line per faulty result, none if the file is right.

    Checked: one file ``results.json``, a list that is not empty, fields, known videos and categories, one segmentation
    per frame, run lengths of the size of the video, at least one mask per result.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            if damaged:
                return [f"{damaged}: damaged in the zip file"]
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
            if names != [NAME]:
                found = ", ".join(names) or "none"
                return [f"{path}: expected one file {NAME} at the top of the zip file, got {found}"]
            content = json.loads(archive.read(NAME))
    except FileNotFoundError:
        return [f"submission not found: {path}"]
    except (zipfile.BadZipFile, OSError) as error:
        return [f"{path}: not a readable zip file ({error})"]
    except ValueError as error:
        return [f"{NAME}: not valid JSON ({error})"]
    if not isinstance(content, list) or not content:
        return [f"{NAME}: expected a list with at least one result (servers fail at an empty list, whose score is 0)"]
    return [fault for place, entry in enumerate(content) if (fault := _fault(entry, place, reference))]


def _fault(entry: object, place: int, reference: VISFile) -> str | None:
    try:
        by_video = check_vis_results([entry], reference, NAME)
        number = next(video for video, entries in by_video.items() if entries)
        masks = by_video[number][0]["segmentations"]
        read_tracks([masks], reference.size(number), [f"{NAME}, result 0"])
    except DataError as error:
        return str(error).replace(f"{NAME}, result 0", f"{NAME}, result {place}", 1)
    return f"{NAME}, result {place}: has no mask in any frame" if all(mask is None for mask in masks) else None


def _text(results: Iterable[Mapping]) -> str:
    return json.dumps([{field: entry[field] for field in FIELDS} for entry in results], allow_nan=False)
