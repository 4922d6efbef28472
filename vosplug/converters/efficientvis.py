"""Weights of one EfficientVIS for another: from single frames to clips, to other classes or kinds of attention."""

from ..registry import CONVERTERS
from .queryinst import DetectorConverter


@CONVERTERS.register_module(name="efficientvis")
class EfficientVISConverter(DetectorConverter):
    """EfficientVIS -> EfficientVIS with another attention, fewer queries, or other classes.

    A model that was trained on single frames becomes one for clips: attention across frames is added, neutral at first.
    """

    rules = ((r"((?:backbone|neck|queries|interactions)\..*)", r"\1"),)
