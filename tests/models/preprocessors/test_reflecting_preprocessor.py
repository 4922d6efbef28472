"""ReflectingPreprocessor: torch's reflection where that is possible, and beyond."""

import pytest
import torch
import torch.nn.functional as F

from vosplug.models import ReflectingPreprocessor
from vosplug.models.preprocessors.reflecting_preprocessor import mirrored
from vosplug.structures import ClipSample


@pytest.mark.parametrize("size, pad", [((17, 95), (1, 0, 8, 7)), ((480, 854), (5, 5, 0, 0)), ((33, 50), (7, 7, 8, 7)),
                                       ((32, 48), (0, 0, 0, 0))])
def test_pictures_and_masks_are_reflected_the_larger_half_first(size, pad):
    preprocessor = ReflectingPreprocessor()
    images = torch.randint(0, 256, (1, 3, *size), dtype=torch.uint8)
    frames, geometry = preprocessor.frames(images)
    assert geometry.pad == pad and all(side % 16 == 0 for side in geometry.network)
    normal = preprocessor.normalize(images)
    assert torch.equal(frames, F.pad(normal, pad, mode="reflect") if any(pad) else normal)
    masks = torch.rand(1, 2, *size)
    assert torch.equal(preprocessor.masks(masks, geometry), F.pad(masks, pad, mode="reflect") if any(pad) else masks)
    assert torch.equal(preprocessor.restore(preprocessor.masks(masks, geometry), geometry), masks)


def test_a_row_that_is_shorter_than_the_padding_is_read_to_and_fro():
    assert mirrored(3, 4, 5).tolist() == [0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1]
    assert mirrored(1, 2, 1).tolist() == [0, 0, 0, 0] and mirrored(2, 1, 2).tolist() == [1, 0, 1, 0, 1]
    assert ReflectingPreprocessor().frames(torch.zeros(1, 3, 2, 1))[0].shape == (1, 3, 16, 16)


def test_labels_of_training_clips_are_void_in_the_padding():
    sample = ClipSample(labels=torch.ones(1, 17, 16, dtype=torch.uint8), first_frames=(0,), ids=(1,))
    data = dict(inputs=[torch.zeros(1, 3, 17, 16, dtype=torch.uint8)], data_samples=[sample])
    labels = ReflectingPreprocessor()(data, True)["data_samples"][0].labels[0]
    assert labels.shape == (32, 16) and (labels[8:25] == 1).all()
    assert (labels[:8] == 255).all() and (labels[25:] == 255).all()
