"""Pictures of masks of several methods."""

import numpy as np
import pytest

from tests.commands import command_module
from tests.inference.colour_segmentor import moving_squares
from vosplug.utils.images import read_image, write_image
from vosplug.utils.masks import write_mask

plot_masks = command_module("plot_masks")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for t, (image, labels) in enumerate(moving_squares(frames=4)):
        write_image(tmp_path / "images" / f"{t:05d}.png", image)
        for name, mask in (("good", labels), ("none", np.zeros_like(labels)), ("small", labels[:8])):
            write_mask(tmp_path / name / f"{t:05d}.png", mask)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_row_for_each_method_and_a_column_for_each_frame(folder):
    assert plot_masks.main(["images", "ours=good", "theirs=none", "--frames", "3", "1", "--width", "60", "--out",
                            "o.png"]) == 0
    picture = read_image(folder / "o.png")
    assert picture.shape == (80, 120, 3)
    frame = read_image(folder / "images" / "00003.png")
    assert np.array_equal(picture[60:80, :60], frame[20:]) and not np.array_equal(picture[20:40, :60], frame[20:])


@pytest.mark.parametrize("words, says", [
    (["images", "good", "--frames", "1"], "NAME=MASKS was expected"),
    (["images", "a=nowhere", "--frames", "1"], "folder of masks"), (["images", "a=good", "--frames", "9"], "frame 9"),
    (["images", "a=small", "--frames", "1"], "60 x 8, its frame 60 x 40")])
def test_bad_input(folder, capsys, words, says):
    assert plot_masks.main([*words, "--out", "o.jpg"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and said[0].startswith("error: ") and says in said[0]
    assert not (folder / "o.jpg").exists()
