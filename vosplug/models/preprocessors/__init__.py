"""Between frames as they are read and what networks see."""

from .base import BasePreprocessor
from .reflecting_preprocessor import ReflectingPreprocessor
from .resizing_preprocessor import ResizingPreprocessor
from .vis_preprocessor import VISPreprocessor
from .vos_preprocessor import VOSPreprocessor

__all__ = ["BasePreprocessor", "ReflectingPreprocessor", "ResizingPreprocessor", "VISPreprocessor", "VOSPreprocessor"]
