"""What methods keep of a video, and within which budget."""

from .eviction import EvenlySpaced, LeastUsed, OldestFirst
from .frame_bank import FrameBank, FrameBankState, MemoryEntry
from .long_term import LongTermMemory, LongTermMemoryState
from .target_model import TargetModel, TargetModelState

__all__ = ["EvenlySpaced", "FrameBank", "FrameBankState", "LeastUsed", "LongTermMemory", "LongTermMemoryState",
           "MemoryEntry", "OldestFirst", "TargetModel", "TargetModelState"]
