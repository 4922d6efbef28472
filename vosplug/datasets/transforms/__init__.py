"""Transforms of whole clips: ``transform(clip, rng) -> clip``. Importing this package registers them."""

from .balanced_crop import BalancedCrop
from .clip import MEAN_COLOUR, Clip
from .color_jitter import ColorJitter
from .gaussian_blur import GaussianBlur
from .pad_or_crop import PadOrCrop
from .random_affine import RandomAffine
from .random_flip import RandomFlip
from .random_grayscale import RandomGrayscale
from .random_resized_crop import RandomResizedCrop
from .random_scale import RandomScale
from .resize import Resize
from .thin_plate_spline import ThinPlateSpline

__all__ = ["MEAN_COLOUR", "BalancedCrop", "Clip", "ColorJitter", "GaussianBlur", "PadOrCrop", "RandomAffine",
           "RandomFlip", "RandomGrayscale", "RandomResizedCrop", "RandomScale", "Resize", "ThinPlateSpline"]
