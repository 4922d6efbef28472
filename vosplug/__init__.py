"""vosplug: a toolbox for efficient video object and video instance segmentation."""

__version__ = "0.1.0"
