"""What a reuse gate costs and saves on a data set with reference masks."""

from .perfect import perfect_frames
from .reference_masks import REFERENCES, ReferenceMasks
from .run import GateRun, run_setting
from .setting import GateSetting, deciding

__all__ = ["REFERENCES", "GateRun", "GateSetting", "ReferenceMasks", "deciding", "perfect_frames", "run_setting"]
