"""The average of the weights after three updates, by hand, and random numbers that differ between iterations."""

import torch
from train_helpers import train, weights

from vosplug.registry import SEGMENTORS
from vosplug.utils.checkpoint import load_checkpoint_file

NAME = "net.0.weight"


def snapshots(tmp_path, **ema):
    """Weights of training after 0, 1, 2 and 3 updates, and the average after the third."""
    train(tmp_path / "run", train_cfg=dict(max_iters=3),
          default_hooks=dict(ema=ema, checkpoint=dict(interval=1, keep=None)))
    trained = [load_checkpoint_file(tmp_path / "run" / f"iter_{k}.pth")["train_state_dict"][NAME] for k in (1, 2, 3)]
    train(tmp_path / "none", train_cfg=dict(max_iters=1), optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.0)))
    return [weights(tmp_path / "none" / "final.pth")[NAME], *trained], weights(tmp_path / "run" / "final.pth")[NAME]


def test_the_average_is_the_weighted_sum_of_the_updates(tmp_path):
    trained, average = snapshots(tmp_path, momentum=0.25, gamma=1)
    expected = trained[0]
    for updates, new in enumerate(trained[1:]):
        share = max(0.25, 1 / (1 + updates))
        expected = (1 - share) * expected + share * new
    torch.testing.assert_close(average, expected)
    assert not torch.allclose(average, trained[3], atol=1e-4)


def test_early_updates_count_by_gamma(tmp_path):
    trained, average = snapshots(tmp_path, momentum=0.001, gamma=4)
    expected = trained[0]
    for updates, new in enumerate(trained[1:]):
        share = 4 / (4 + updates)
        expected = (1 - share) * expected + share * new
    torch.testing.assert_close(average, expected)


def test_every_iteration_has_random_numbers_of_its_own(tmp_path, monkeypatch):
    train(tmp_path / "first", train_cfg=dict(max_iters=1))  # registers the parts anew
    tiny = SEGMENTORS.registry.get("TinySegmentor")
    drawn = []
    loss = tiny.loss

    def watched(self, *args, **kwargs):
        drawn.append(float(torch.rand(())))
        return loss(self, *args, **kwargs)

    monkeypatch.setattr(tiny, "loss", watched)
    train(tmp_path / "a", train_cfg=dict(max_iters=4))
    first = list(drawn)
    drawn.clear()
    train(tmp_path / "b", train_cfg=dict(max_iters=4))
    assert len(set(first)) == 4 and drawn == first
