"""What methods keep of a video, and within which budget."""

from .base import Memory, MemoryState, Similarity
from .clip_sampler import ClipSampler, ClipSamplerState
from .entry import MemoryEntry, joined
from .frame_bank import FrameBank, FrameBankState
from .layered_bank import LayeredBank, LayeredBankState
from .long_term import LongTermMemory, LongTermMemoryState
from .target_model import TargetModel, TargetModelState

__all__ = ["ClipSampler", "ClipSamplerState", "FrameBank", "FrameBankState", "LayeredBank", "LayeredBankState",
           "LongTermMemory", "LongTermMemoryState", "Memory", "MemoryEntry", "MemoryState", "Similarity",
           "TargetModel", "TargetModelState", "joined"]
