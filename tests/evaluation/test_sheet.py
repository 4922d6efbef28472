"""The sheet of the worst frames."""

import numpy as np
import pytest

from vosplug.evaluation.davis_folders import find_davis_jobs
from vosplug.evaluation.sheet import TILE_WIDTH, worst_frames, write_worst_frames
from vosplug.utils.errors import DataError
from vosplug.utils.images import read_image
from vosplug.utils.masks import read_mask, write_mask

from . import tiny


def entry(region, boundary, **more):
    return {"J": region, "F": boundary, **more}


def test_worst_frames_are_means_over_objects_lowest_first():
    results = {
        "b": {"frames": ["1", "2"],
              "objects": {"1": entry([0.2, 1.0], [0.4, 1.0]), "2": entry([1.0, 0.0], [1.0, 0.0])}},
        "a": {"objects": {"1": entry([0.5], [0.1], frames=["7"])}},
    }
    assert worst_frames(results, 2) == [(pytest.approx(0.3), "a", "7"), (pytest.approx(0.5), "b", "2")]
    assert len(worst_frames(results, 9)) == 3


@pytest.mark.parametrize("pictures", [True, False])
def test_sheet_shows_the_worst_frame_first(tmp_path, pictures):
    root = tiny.davis_root(tmp_path / "gt", {"bear": 4, "ant": 4}, pictures=pictures)
    pred = tiny.predict(root, tmp_path / "pred", shift=0)
    wrong = np.zeros(tiny.SIZE, np.uint8)
    wrong[30:34, 40:46] = 1
    write_mask(pred / "bear/00002.png", wrong)
    jobs = find_davis_jobs(root, pred)
    results = {job.name: job.score() for job in jobs}
    assert worst_frames(results, 1) == [(0.0, "bear", "00002")]
    write_worst_frames(tmp_path / "sheet.png", jobs, results, count=4)
    sheet = read_image(tmp_path / "sheet.png")
    assert sheet.shape[1] == 3 * TILE_WIDTH
    tile = sheet[26:, :TILE_WIDTH]
    scale = TILE_WIDTH / tiny.SIZE[1]
    # The outline of the wrong prediction is red, in the first tile and at its place.
    red = (tile[..., 0] > 200) & (tile[..., 1] < 80) & (tile[..., 2] < 80)
    rows, columns = np.nonzero(red[:int(36 * scale)])
    assert abs(columns.min() / scale - 40) < 1 and abs(rows.min() / scale - 30) < 1
    # The reference is filled with the colour of its id.
    y, x = (int(v.mean()) for v in np.nonzero(read_mask(root / "Annotations/480p/bear/00002.png") == 2))
    assert tile[int((y + 0.5) * scale), int((x + 0.5) * scale), 1] > 50


def test_nothing_scored(tmp_path):
    with pytest.raises(DataError, match="no frame was scored"):
        write_worst_frames(tmp_path / "sheet.png", [], {})
