"""Recomputing the golden outputs of AOT and DeAOT."""

from .run import AOTParity

__all__ = ["AOTParity"]
