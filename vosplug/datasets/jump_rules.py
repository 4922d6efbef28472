"""Which frames of a video make a clip."""

import numpy as np


def stcn_frames(rng: np.random.Generator, count: int, length: int, jump: int) -> list[int]:
    """Frames as STCN draws its three (Cheng et al., NeurIPS 2021), continued in the same way for longer clips.

    Each frame lies 1 .. ``jump + 1`` after the one before it. So that the ends of a video are not drawn too often,
    frame number k (k >= 1) is at most ``count - jump // k``; at that limit frames may repeat.

    Args:
        count: number of annotated frames of the video.
        length: frames of the clip.
        jump: largest distance, in annotated frames.
    """
    jump = min(count, jump)
    frames = [int(rng.integers(count - jump + 1))]
    for k in range(1, length):
        following = frames[-1] + int(rng.integers(jump + 1)) + 1
        frames.append(min(following, count - jump // k, count - 1))
    return frames


def distinct_frames(rng: np.random.Generator, count: int, length: int, jump: int) -> list[int]:
    """Different frames, each within ``jump`` of another one, in order; better for long clips of short videos.

    Grown from one frame by adding, one by one, a frame that is near enough to any that is already drawn (the rule of
    XMem, Cheng and Schwing, ECCV 2022). A video with fewer than ``length`` frames repeats some of them.
    """
    frames = {int(rng.integers(count))}
    while len(frames) < min(length, count):
        near = {f for frame in frames for f in range(max(0, frame - jump), min(count, frame + jump + 1))} - frames
        ordered = sorted(near)
        frames.add(ordered[int(rng.integers(len(ordered)))])
    result = sorted(frames)
    extra = [result[int(rng.integers(len(result)))] for _ in range(length - len(result))]
    return sorted(result + extra)


def anywhere_frames(rng: np.random.Generator, count: int, length: int, jump: int) -> list[int]:
    """Different frames of the whole video in random order, whatever ``jump`` says (FRTM; the reuse gate).

    A video with fewer than ``length`` frames repeats some of them.
    """
    drawn = [int(frame) for frame in rng.permutation(count)[:length]]
    return drawn + [drawn[int(rng.integers(len(drawn)))] for _ in range(length - len(drawn))]


def aot_frames(rng: np.random.Generator, count: int, length: int, jump: int) -> list[int]:
    """Frames as AOT draws them: distances are uniform in 1 .. ``jump``; past the end, frames go back as in a mirror."""
    frames = [int(rng.integers(count))]
    for _ in range(1, length):
        frames.append(frames[-1] + int(rng.integers(jump)) + 1)
    return [reflected(frame, count) for frame in frames]


def neighbour_frames(rng: np.random.Generator, count: int, length: int, jump: int) -> list[int]:
    """Frames that follow one another, whatever ``jump`` says (TTVOS); a short video stops at its last frame."""
    first = int(rng.integers(max(1, count - length + 1)))
    return [min(first + k, count - 1) for k in range(length)]


def cfbi_frames(rng: np.random.Generator, count: int, length: int, jump: int) -> list[int]:
    """A reference frame from anywhere, then frames as AOT draws them, which begin anywhere too (CFBI's training)."""
    return [int(rng.integers(count)), *aot_frames(rng, count, max(1, length - 1), jump)][:length]


def reflected(frame: int, count: int) -> int:
    """The frame of a video of ``count`` that is played to and fro without an end."""
    turn = frame % max(1, 2 * (count - 1))
    return min(turn, 2 * (count - 1) - turn)


JUMP_RULES = {"stcn": stcn_frames, "distinct": distinct_frames, "anywhere": anywhere_frames, "aot": aot_frames,
              "neighbours": neighbour_frames, "cfbi": cfbi_frames}
STAY_FIRST = {"cfbi": 1}  # so many frames stay first where time is reversed
