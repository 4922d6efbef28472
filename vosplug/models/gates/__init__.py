"""Reuse gates: whether a frame is computed for an object, or what is remembered of an earlier one is reused."""

from .base import Gate, GateInput
from .change import ChangeGate
from .random import RandomGate
from .reuse import ReuseGate
from .scheduled import ScheduledGate

__all__ = ["ChangeGate", "Gate", "GateInput", "RandomGate", "ReuseGate", "ScheduledGate"]
