"""Training clips from images with one mask file each: several random views of one image."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..registry import DATASETS
from ..utils.errors import ConfigError, DataError, InputError
from ..utils.images import read_image
from ..utils.masks import read_mask
from .frame_reader import FrameReader
from .layout import check_choice, choose_sequences
from .pipelines import STATIC_PIPELINES, build_transforms
from .sampling import ClipRequest
from .slots import choose_slots, make_sample
from .static_layouts import STATIC_LAYOUTS, find_pairs
from .transforms import Clip

OTHER_IMAGES = 8


@DATASETS.register_module()
class StaticImageClips:
    """Clips of T random views of one image, for pre-training. Item ``i`` shows image ``i``.

    By default what is not black in a mask is the one object of the clip; with ``ids`` the values of a mask are objects.

    ``max_skip`` of a request has no meaning here, as there is no time.

    Args:
        data_root: folder of the set, see ``layout``.
        layout: ``DUTS`` (``*-Image`` and ``*-Mask``), ``ECSSD`` (``images``, ``ground_truth_mask``), ``FSS-1000``
            (``<class>/1.jpg, 1.png``), ``HKU-IS`` (``imgs``, ``gt``), ``HRSOD`` (``X`` and ``X_mask``), ``BIG``
            (``*_im.*``, ``*_gt.png``), ``folders`` (``images/X.jpg``, ``masks/X.png``) or ``flat`` (``X.jpg`` beside
            ``X.png``, as MSRA10K has them), which is accepted in place of every layout but ``FSS-1000``.
        transforms: configs of clip transforms, or the name of a pipeline of :mod:`vosplug.datasets.pipelines`:
            ``stcn``, ``aot`` or ``deaot``.
        size: side of the square clips of the pipeline (384 for ``stcn``, 465 for the others if not given); checked
            after given transforms.
        retries: how many views are tried per image until the first one shows the object.
        max_side: an image whose shorter side is longer is shrunk to it once when it is read. HRSOD and BIG have images
            of several thousand pixels.
        cache_mib: decoded images that each process keeps, in MiB.
        ids: masks hold ids of objects (255: void), of which up to ``max_objects`` are drawn.
        max_objects: with ``ids``, most objects of a clip.
        min_pixels: an object has to have this many pixels in the first view.
        images: names of images (without suffix; FSS-1000: ``class/name``) to keep; all by default.

    Attributes:
        opens_masks, label_free, stills: what tasks without labels ask: masks are read; no picture and no first label
            depends on labels of later frames, which are those of the first one, transformed; time stands still.

    Raises:
        ConfigError: an option is out of range.
        DataError: the layout does not fit, a mask is missing, or a file is unreadable.
    """

    opens_masks = label_free = stills = True

    def __init__(self, data_root: str | Path, layout: str = "flat", transforms: Sequence[Any] | str = "stcn",
                 size: int | None = None, retries: int = 5, max_side: int = 960, cache_mib: float = 0,
                 ids: bool = False, max_objects: int = 1, min_pixels: int = 1, images: Sequence[str] | None = None):
        check_choice("static layout", layout, tuple(STATIC_LAYOUTS))
        if retries < 1 or max_side < 1:
            raise ConfigError(f"StaticImageClips needs retries and max_side >= 1, got {retries} and {max_side}")
        if max_objects < 1 or min_pixels < 1:
            raise ConfigError("StaticImageClips needs max_objects and min_pixels >= 1, got "
                              f"{max_objects} and {min_pixels}")
        if max_objects > 1 and not ids:
            raise ConfigError(f"StaticImageClips.max_objects is {max_objects}, but without ids=True a mask is of one "
                              "object")
        pairs = find_pairs(Path(data_root), layout)
        names = choose_sequences(list(pairs), images, str(data_root))
        self._pairs = [(name, *pairs[name]) for name in names]
        self.size = size
        self.transforms = build_transforms(transforms, STATIC_PIPELINES, size)
        self.retries, self.max_side = retries, max_side
        self._read = partial(read_mask, binary=not ids)
        self.max_objects, self.min_pixels = max_objects, min_pixels
        self._reader = FrameReader(cache_mib)

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, request: ClipRequest) -> dict:
        if request.index >= len(self):
            raise InputError(f"clip {request.index} is out of range: there are {len(self)} images")
        rng, number = request.rng(), request.index
        tried = []
        for _ in range(OTHER_IMAGES):
            for _ in range(self.retries):
                result = self._attempt(number, request.length, rng)
                if result is not None:
                    return result
            tried.append(self._pairs[number][0])
            number = int(rng.integers(len(self)))
        raise DataError(f"no object was visible in the first view, after {self.retries} tries with each of the images "
                        f"{', '.join(tried)}; check the masks")

    def _attempt(self, number: int, length: int, rng: np.random.Generator) -> dict | None:
        name, image_path, mask_path = self._pairs[number]
        image = self._reader.get(image_path, lambda: self._shrunk(read_image(image_path), cv2.INTER_AREA))
        labels = self._reader.get(mask_path, lambda: self._shrunk(self._read(mask_path), cv2.INTER_NEAREST))
        if image.shape[:2] != labels.shape:
            raise DataError(f"{mask_path}: the mask is {labels.shape[1]} x {labels.shape[0]} but its image "
                            f"{image.shape[1]} x {image.shape[0]}")
        if not labels.any():
            return None
        clip = Clip([image] * length, [labels] * length)
        for transform in self.transforms:
            clip = transform(clip, rng)
        if self.size is not None and clip.size != (self.size, self.size):
            raise ConfigError(f"the transforms make clips of {clip.size}, but size={self.size}")
        slots = choose_slots(clip.labels, rng, max_objects=self.max_objects, late_objects=False,
                             min_pixels=self.min_pixels)
        if slots is None:
            return None
        return make_sample(clip.images, clip.labels, slots, name, [image_path.stem] * length)

    def _shrunk(self, array: np.ndarray, method: int) -> np.ndarray:
        height, width = array.shape[:2]
        factor = self.max_side / min(height, width)
        if factor >= 1:
            return array
        return cv2.resize(array, (round(width * factor), round(height * factor)), interpolation=method)
