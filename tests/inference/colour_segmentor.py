"""A segmentor without learning that finds objects by their colour, so that tests know the right answer."""

import torch

from vosplug.models.segmentors.base import VOSSegmentor


class ColourSegmentor(VOSSegmentor):
    """An object is where the frame has the mean colour of its prompt; what it remembers grows with the frames.

    Args:
        smear: weight of the previous mask in the score, so that the result depends on the history.
        preprocessor: type of its preprocessor.
    """

    def __init__(self, smear: float = 0.0, preprocessor: str = "VOSPreprocessor"):
        super().__init__(preprocessor={"type": preprocessor})
        self.sharpness = torch.nn.Parameter(torch.tensor(20.0))
        self.smear = smear
        self.calls = []

    def encode_shallow(self, frame):
        self.calls.append((tuple(frame.shape), frame.dtype, frame.is_contiguous(memory_format=torch.channels_last)))
        return frame

    def decode_coarse(self, state, features, rows):
        colours = state.objects.read("colour", rows)
        distance = (features[0][None] - colours[:, :, None, None]).square().sum(dim=1)
        logits = self.sharpness * (0.3 - distance)
        return (logits + self.smear * (state.masks[0] - 0.5))[:, None]

    def memorize(self, state, features, masks, rows, run):
        self.calls.append(("last", run.last))
        started = run.started
        if started is not None and len(started):
            mask = started.gather(masks)
            colour = (features * mask[:, None]).sum(dim=(2, 3)) / mask.sum(dim=(1, 2)).clamp(min=1e-6)[:, None]
            state.objects.write("colour", started, colour)


class RecordingSegmentor(ColourSegmentor):
    """Resizes, and keeps what the last ``step`` was given: size of the frame, prompt and geometry."""

    def __init__(self):
        super().__init__(preprocessor="ResizingPreprocessor")

    def step(self, state, frame, prompt=None, *, geometry=None, last=False, features=()):
        self.seen = tuple(frame.shape[-2:]), prompt, geometry
        return super().step(state, frame, prompt, geometry=geometry, last=last, features=features)


def moving_squares(frames=6, size=(40, 60), colours=((200, 30, 30), (30, 200, 30)), noise=0):
    """Frames (H, W, 3) uint8 with one square per colour that moves to the right, and their labels (H, W) uint8."""
    import numpy as np

    rng = np.random.default_rng(0)
    height, width = size
    side = height // (len(colours) + 2)
    for t in range(frames):
        image = np.full((height, width, 3), 90, np.uint8)
        labels = np.zeros((height, width), np.uint8)
        for value, colour in enumerate(colours, start=1):
            top, left = value * side + value, 4 + 3 * t
            image[top : top + side, left : left + side] = colour
            labels[top : top + side, left : left + side] = value
        if noise:
            image = np.clip(image.astype(int) + rng.integers(-noise, noise + 1, image.shape), 0, 255).astype(np.uint8)
        yield image, labels
