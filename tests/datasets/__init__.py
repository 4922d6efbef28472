"""Tests of vosplug.datasets."""
