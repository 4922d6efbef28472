"""Other values of the options of loops, and what shows the difference."""

from typing import Any
from unittest.mock import MagicMock

from tests.inference.colour_segmentor import ColourSegmentor
from vosplug.registry import LOOPS

from .engine_cases import runner_of
from .other_options import Made, cases_of

of_training, of_validation = cases_of(LOOPS), cases_of(LOOPS)
DAVIS = dict(type="DavisDataset", data_root="davis")


class Loader(list):
    """Batches."""

    batch_sampler = MagicMock()


def training(**more: Any) -> Made:
    """A runner that trains."""
    return Made(lambda: runner_of(seed=0, stage_index=0, rank=0, world_size=1, model=MagicMock(), **more))


def validating(**session: Any) -> Made:
    """A runner that validates a model without weights, with options of a session."""
    return Made(lambda: runner_of(cfg={"test_session": session}, model=ColourSegmentor().eval()))


@of_training("ClipTrainLoop", dict(runner=training(), dataloader=Loader("abcdefgh"), max_iters=6, val_interval=2),
             runner=training(val_loop=None), dataloader=Loader("ABCDEFGH"), max_iters=5, val_interval=3, val_begin=4)
def trained(loop: Any) -> list:
    """Which hooks are called with which batches, and when is validated."""
    found = []
    runner = loop.runner
    runner.call_hook.side_effect = lambda name, **given: found.append((name, given.get("data_batch")))
    if runner.val_loop is not None:
        runner.val_loop.run.side_effect = lambda: found.append(("validation", loop.iter))
    loop.run()
    return found


@of_validation("VideoValLoop", dict(runner=validating(), dataset=DAVIS), runner=validating(max_short_side=16),
               dataset={**DAVIS, "data_root": "davis_short"}, evaluator=dict(type="DavisMetric", protocol="2016"),
               session_options=dict(max_short_side=16))
def validated(loop: Any) -> dict | None:
    """The numbers."""
    return loop.run()
