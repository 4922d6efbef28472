"""Which frames are processed densely (SpVOS III-E, IV-D1): kind ``frame policy``."""

from typing import Any

from ....registry import FRAME_POLICIES
from ....structures import VideoState


@FRAME_POLICIES.register_module(examples=[dict()])
class Fully:
    """No frame is dense; layers that need previous features compute where they have none."""

    def decide(self, state: VideoState, prompted: bool, last: bool) -> dict[str, Any]:
        """See :class:`~vosplug.models.frame_run.FramePolicy`."""
        return {}


@FRAME_POLICIES.register_module(examples=[dict()])
class SemiMixed:
    """Frames on which masks are given are dense."""

    def decide(self, state: VideoState, prompted: bool, last: bool) -> dict[str, bool]:
        """See :class:`~vosplug.models.frame_run.FramePolicy`."""
        return {"dense": prompted}


@FRAME_POLICIES.register_module(examples=[dict()])
class Mixed:
    """Frames that the memory keeps for good are dense (one that the next replaces is none of its memory frames)."""

    def decide(self, state: VideoState, prompted: bool, last: bool) -> dict[str, bool]:
        """See :class:`~vosplug.models.frame_run.FramePolicy`."""
        if state.memory is None or last:
            return {"dense": prompted}
        return {"dense": prompted or state.memory.is_kept(state.frame_index, prompted)}
