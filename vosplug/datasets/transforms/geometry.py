"""Small (3, 3) matrices between canvases, in continuous coordinates (x to the right, y down)."""

import math

import numpy as np


def translation(x: float, y: float) -> np.ndarray:
    """Shift by (x, y)."""
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def scaling(x: float, y: float) -> np.ndarray:
    """Scale about the origin."""
    return np.diag([x, y, 1.0])


def rotation(degrees: float) -> np.ndarray:
    """Rotate about the origin, clockwise on the screen for positive angles."""
    angle = math.radians(degrees)
    return np.array([[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1.0]])


def shearing(degrees_x: float) -> np.ndarray:
    """Shear along x."""
    return np.array([[1.0, -math.tan(math.radians(degrees_x)), 0], [0, 1.0, 0], [0, 0, 1.0]])


def about_centre(matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """``matrix`` with the centre of a canvas of ``size`` (H, W) as its fixed point."""
    x, y = size[1] / 2, size[0] / 2
    return translation(x, y) @ matrix @ translation(-x, -y)
