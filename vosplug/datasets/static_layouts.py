"""Where the images and masks of the static sets lie."""

from collections.abc import Callable
from pathlib import Path

from ..utils.errors import DataError
from ..utils.images import IMAGE_SUFFIXES
from ..utils.listing import by_stem, folders_in, masks_in, natural_key
from .layout import need_folder

Pairs = dict[str, tuple[Path, Path]]


def find_pairs(root: Path, layout: str) -> Pairs:
    """Name -> (image, mask) of all images of a set, sorted by name.

    Raises:
        DataError: the folder is missing, holds no images in this layout, or an image has no mask.
    """
    find, text = STATIC_LAYOUTS[layout]
    need_folder(root, text)
    images, masks = find(root)
    if not images and layout not in ("flat", "FSS-1000"):
        images, masks = _flat(root)
    if not images:
        raise DataError(f"{root} has no images in the layout {layout}: {text}")
    missing = sorted(set(images) - set(masks))
    if missing:
        raise DataError(f"{root}: {len(missing)} of {len(images)} images have no mask, the first is "
                        f"{images[missing[0]]}. Expected layout: {text}")
    return {name: (images[name], masks[name]) for name in sorted(images, key=natural_key)}


def _flat(root: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """``X.jpg`` beside ``X.png``."""
    return _pictures(root, without=(".png",)), masks_in(root)


def _duts(root: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    return _two_folders(root, "-Image", "-Mask")


def _ecssd(root: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    folder = root / "images"
    return (_pictures(folder) if folder.is_dir() else {}), masks_in(root / "ground_truth_mask")


def _folders(root: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """``images/X.jpg`` and ``masks/X.png``."""
    folder = root / "images"
    return (_pictures(folder) if folder.is_dir() else {}), masks_in(root / "masks")


def _hku_is(root: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    folder = root / "imgs"
    return (_pictures(folder) if folder.is_dir() else {}), masks_in(root / "gt")


def _hrsod(root: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    return _two_folders(root, "", "_mask")


def _fss(root: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    images, masks = {}, {}
    for name in folders_in(root):
        pictures, found = _flat(root / name)
        images.update({f"{name}/{stem}": path for stem, path in pictures.items()})
        masks.update({f"{name}/{stem}": path for stem, path in found.items()})
    return images, masks


def _big(root: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    images = {stem.removesuffix("_im"): path for stem, path in _pictures(root).items() if stem.endswith("_im")}
    masks = {stem.removesuffix("_gt"): path for stem, path in masks_in(root).items() if stem.endswith("_gt")}
    return images, masks


def _two_folders(root: Path, image_end: str, mask_end: str) -> tuple[dict[str, Path], dict[str, Path]]:
    """All pairs of folders ``X + image_end`` and ``X + mask_end`` below ``root``; keys are unique over the pairs."""
    folders = folders_in(root)
    pairs = [(name, name.removesuffix(image_end) + mask_end) for name in folders
             if name.endswith(image_end) and name.removesuffix(image_end) + mask_end in folders]
    images, masks = {}, {}
    for image_folder, mask_folder in pairs:
        images.update({f"{image_folder}/{s}": p for s, p in _pictures(root / image_folder).items()})
        masks.update({f"{image_folder}/{s}": p for s, p in masks_in(root / mask_folder).items()})
    return images, masks


def _pictures(folder: Path, without: tuple[str, ...] = ()) -> dict[str, Path]:
    return by_stem(folder, [suffix for suffix in IMAGE_SUFFIXES if suffix not in without])


STATIC_LAYOUTS: dict[str, tuple[Callable[[Path], tuple[dict[str, Path], dict[str, Path]]], str]] = {
    "DUTS": (_duts, "DUTS-TR-Image/X.jpg and DUTS-TR-Mask/X.png"),
    "ECSSD": (_ecssd, "images/X.jpg and ground_truth_mask/X.png"),
    "FSS-1000": (_fss, "<class>/X.jpg beside <class>/X.png"),
    "HKU-IS": (_hku_is, "imgs/X.png and gt/X.png"),
    "HRSOD": (_hrsod, "HRSOD_train/X.jpg and HRSOD_train_mask/X.png"),
    "BIG": (_big, "X_im.jpg (or .png) beside X_gt.png"),
    "folders": (_folders, "images/X.jpg and masks/X.png"),
    "flat": (_flat, "X.jpg beside X.png"),
}
