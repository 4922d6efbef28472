"""Finding what is to be scored."""

import pytest

from vosplug.evaluation import reading
from vosplug.utils.errors import DataError, DataWarning
from vosplug.utils.masks import write_mask

from . import tiny


def test_missing_things_are_named(tmp_path):
    root = tiny.davis_root(tmp_path, {"bear": 3}, pictures=False) / "Annotations/480p"
    assert list(reading.predicted_paths("bear", root / "bear", ["00001"])) == ["00001"]
    with pytest.raises(DataError, match=r"bear: the prediction of frame 00007 is missing \(and 1 more\): .*00007.png"):
        reading.predicted_paths("bear", root / "bear", ["00001", "00007", "00009"])
    with pytest.raises(DataError, match=r"sequence beer: folder of the predictions not found: .* Did you mean 'bear'"):
        reading.predicted_paths("beer", root / "beer", [])
    with pytest.raises(DataError, match="has no sequence 'ber'. Did you mean 'bear'"):
        reading.choose(["bear", "ant"], ["ber"], root)
    with pytest.raises(DataError, match="has no sequences"):
        reading.choose([], None, root)


@pytest.mark.parametrize(("names", "message"), [
    (["00001", "00002", "00003"], "00003.png belongs to no frame .*frame 00000 has no prediction.*from 1"),
    (["00000", "00001", "00002"], None), (["00001"], None), (["1", "2", "3"], "prediction of frame 00001 is missing")])
def test_predictions_that_are_numbered_in_another_way_are_refused(tmp_path, names, message):
    for name in names:
        write_mask(tmp_path / "bear" / f"{name}.png", tiny.labels(0))
    frames = ["00000", "00001", "00002"]
    if message is None:
        assert list(reading.predicted_paths("bear", tmp_path / "bear", ["00001"], frames)) == ["00001"]
        return
    with pytest.raises(DataError, match=message):
        reading.predicted_paths("bear", tmp_path / "bear", ["00001"], frames)


@pytest.mark.parametrize("names", [["00000", "00001", "00002", "00003"], ["00000", "00001", "00002", "notes"]])
def test_predictions_without_a_frame_get_a_word(tmp_path, names):
    for name in names:
        write_mask(tmp_path / "bear" / f"{name}.png", tiny.labels(0))
    with pytest.warns(DataWarning, match=f"1 predictions belong to no frame of the references \\({names[-1]}\\)"):
        reading.predicted_paths("bear", tmp_path / "bear", ["00001"], ["00000", "00001", "00002"])
