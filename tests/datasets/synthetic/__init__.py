"""Tests of the synthetic videos."""
