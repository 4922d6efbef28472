"""Counts of the work that a layer noted, by hand."""

import torch

from vosplug.structures import Work


def test_work_of_six_sites_of_which_two_are_computed():
    policy = torch.tensor([[[0, 1, 1], [1, 2, 2]]], dtype=torch.uint8)
    work = Work("layer", cost=7, gate_macs=5, sites=6, policy=policy)
    assert work.counts() == (1, 3, 2)
    assert work.macs == 2 * 7 + 5 and work.dense_macs == 6 * 7


def test_a_dense_frame_computes_every_site():
    work = Work("layer", cost=7, gate_macs=0, sites=6)
    assert work.counts() == (0, 0, 6) and work.macs == work.dense_macs == 42
