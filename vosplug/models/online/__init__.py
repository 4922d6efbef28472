"""Optimisation while a video runs: plain classes, without autograd."""

from .conjugate_gradient import Direction, GaussNewtonCG, LinearisedProblem
from .stencil import label_stencil
from .target_problem import FilterProblem, LayersProblem, filter_scores

__all__ = ["Direction", "FilterProblem", "GaussNewtonCG", "LayersProblem", "LinearisedProblem", "filter_scores",
           "label_stencil"]
