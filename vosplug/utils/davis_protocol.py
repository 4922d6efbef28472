"""What the protocol of DAVIS says that data sets and their evaluation share."""


def scored_frames(length: int) -> range:
    """Indices of the frames that the semi-supervised protocols score: all but the first and the last."""
    return range(1, length - 1)
