"""Transforms of whole clips: ``transform(clip, rng) -> clip``. Importing this package registers them."""

from .clip import MEAN_COLOUR, Clip
from .color_jitter import ColorJitter
from .pad_or_crop import PadOrCrop
from .random_affine import RandomAffine
from .random_flip import RandomFlip
from .random_grayscale import RandomGrayscale
from .random_resized_crop import RandomResizedCrop
from .resize import Resize
from .thin_plate_spline import ThinPlateSpline

__all__ = ["MEAN_COLOUR", "Clip", "ColorJitter", "PadOrCrop", "RandomAffine", "RandomFlip", "RandomGrayscale",
           "RandomResizedCrop", "Resize", "ThinPlateSpline"]
