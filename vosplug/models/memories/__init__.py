"""What methods keep of a video, and within which budget."""

from .eviction import EvenlySpaced, LeastUsed, OldestFirst
from .frame_bank import FrameBank, FrameBankState, MemoryEntry

__all__ = ["EvenlySpaced", "FrameBank", "FrameBankState", "LeastUsed", "MemoryEntry", "OldestFirst"]
