"""Tests of vosplug.datasets.transforms."""
