"""Fast reading of masks: the same pixels and the same refusals as the general reader."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from vosplug.evaluation import reading
from vosplug.utils.errors import DataError
from vosplug.utils.masks import encode_mask, read_mask

from . import tiny


def palette_png(labels, bits):
    image = Image.fromarray(labels, mode="P")
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    data = io.BytesIO()
    image.save(data, format="PNG", bits=bits)
    return data.getvalue()


def files():
    labels = tiny.labels(3)
    yield "palette", encode_mask(labels)
    yield "two bits", palette_png(labels, 2)
    yield "one bit", palette_png((labels > 0).astype(np.uint8), 1)
    yield "grey", cv2.imencode(".png", labels)[1].tobytes()
    yield "black and white", cv2.imencode(".png", (labels > 0) * np.uint8(255))[1].tobytes()
    yield "rgb", cv2.imencode(".png", np.repeat(labels[..., None], 3, 2))[1].tobytes()
    yield "16 bit", cv2.imencode(".png", labels.astype(np.uint16))[1].tobytes()
    yield "smoothed", cv2.imencode(".png", np.tile(np.arange(48, dtype=np.uint8), (36, 1)))[1].tobytes()
    yield "cut short", encode_mask(labels)[:-60]
    yield "no picture", b"nothing"


@pytest.mark.parametrize(("name", "data"), files(), ids=lambda value: value if isinstance(value, str) else "")
@pytest.mark.parametrize("binary", [False, True])
def test_same_as_the_general_reader(tmp_path, name, data, binary):
    path = tmp_path / "00000.png"
    path.write_bytes(data)
    try:
        expected = read_mask(path, binary=binary)
    except DataError as error:
        with pytest.raises(DataError) as caught:
            reading.read_ids(path, binary)
        assert str(caught.value) == str(error)
        return
    got = reading.read_ids(path, binary)
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, expected)


def test_missing_things_are_named(tmp_path):
    root = tiny.davis_root(tmp_path, {"bear": 3}, pictures=False) / "Annotations/480p"
    assert list(reading.predicted_paths("bear", root / "bear", ["00001"])) == ["00001"]
    with pytest.raises(DataError, match=r"bear: the prediction of frame 00007 is missing \(and 1 more\): .*00007.png"):
        reading.predicted_paths("bear", root / "bear", ["00001", "00007", "00009"])
    with pytest.raises(DataError, match=r"sequence beer: folder of the predictions not found: .* Did you mean 'bear'"):
        reading.predicted_paths("beer", root / "beer", [])
    with pytest.raises(DataError, match="mask not found"):
        reading.read_ids(root / "bear/00009.png")
    with pytest.raises(DataError, match="has no sequence 'ber'. Did you mean 'bear'"):
        reading.choose(["bear", "ant"], ["ber"], root)
    with pytest.raises(DataError, match="has no sequences"):
        reading.choose([], None, root)
