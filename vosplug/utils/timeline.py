"""The times of the frames of a video file: where some are missing, and which number a frame has by its time."""

from collections.abc import Sequence

import numpy as np

_CONSTANT = 0.9  # share of the steps that have the usual length, from which a rate counts as constant
_LENIENT = 0.25  # of a step: times are rounded to milliseconds, and to the clock of the container


class Timeline:
    """When the frames of a video are to be shown, as the packets of its file say it.

    A video whose frames come at a constant rate but for a few gaps has lost frames there. Where the rate varies, a gap
    is one only if packets lie in it, which the decoder could not use.

    Args:
        times: seconds, one per packet, in any order.

    Attributes:
        times: in order, each once.
        period: the usual distance of two frames in seconds; None if the file has no usable times.
        constant: whether the rate is.
    """

    def __init__(self, times: Sequence[float]):
        self.times = np.unique(np.asarray(times, np.float64))
        steps = np.diff(self.times)
        usable = len(self.times) >= 3 and len(self.times) > 0.75 * len(times)
        usual = float(np.percentile(steps, 50, method="lower")) if usable else 0.0  # one of them, so one is regular
        regular = np.abs(steps - usual) <= _LENIENT * usual
        self.period = float(steps[regular].mean()) if usable else None  # of many, as each is rounded
        self.constant = bool(usable and regular.mean() >= _CONSTANT)

    def gap(self, last: float, time: float) -> str | None:
        """What is missing between two frames that follow each other, in words; None if nothing is."""
        if self.period is None:
            return None
        if time <= last:
            return f"the frame at {time:.3f} s comes after that at {last:.3f} s"
        missing = round((time - last) / self.period) - 1
        if time - last < 1.5 * self.period or missing < 1:
            return None
        inside = np.count_nonzero((self.times > last + self.period / 2) & (self.times < time - self.period / 2))
        if not inside and not self.constant:
            return None
        count = int(inside) if not self.constant else missing
        return f"{count} frame{'s are' if count > 1 else ' is'} missing between {last:.3f} s and {time:.3f} s"

    def number(self, time: float) -> int:
        """The number that the frame at ``time`` would have if none were missing."""
        return max(0, round((time - self.times[0]) / self.period))
