"""Training of CFBI and SST stops and goes on exactly, also where labels turn from true ones into predictions."""

import pytest
from mmengine.hooks import Hook
from train_helpers import differing, train

from vosplug.registry import HOOKS, SEGMENTORS


class StoppedError(Exception):
    """The run is over."""


@HOOKS.register_module()
class StopSlotsAt(Hook):
    """Ends a run after some iterations."""

    def __init__(self, iteration: int):
        self.iteration = iteration

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.iteration:
            raise StoppedError


@pytest.mark.parametrize("method, options", [("CFBI", {}), ("SST", dict(frame_origin=60))])
def test_a_stopped_run_goes_on_exactly(tmp_path, method, options):
    settings = dict(model={**SEGMENTORS.example(method), **options}, clip=dict(length=4, max_skip=3),
                    train_dataloader=dict(dataset=dict(type="TinyClips", size=33), batch_size=1, num_workers=0),
                    optim_wrapper=dict(optimizer=dict(type="SGD", lr=1e-2, momentum=0.9, nesterov=True)),
                    param_scheduler=[dict(type="WarmupPolyLR", warmup=1, floor=1e-5)],
                    train_cfg=dict(max_iters=4), default_hooks=dict(checkpoint=dict(interval=1, keep=None)))
    train(tmp_path / "whole", **settings)
    with pytest.raises(StoppedError):
        train(tmp_path / "parts", custom_hooks=[dict(type="StopSlotsAt", iteration=2)], **settings)
    train(tmp_path / "parts", resume=True, **settings)
    assert differing(tmp_path / "whole" / "final.pth", tmp_path / "parts" / "final.pth") == []
    assert differing(tmp_path / "whole" / "iter_1.pth", tmp_path / "whole" / "final.pth")
