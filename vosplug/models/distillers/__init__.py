"""What stands between a teacher and its student."""

from .grids import Grid, on_grid
from .pairs import Pair, build_pairs
from .teacher import Teacher

__all__ = ["Grid", "Pair", "Teacher", "build_pairs", "on_grid"]
