"""The small manifests that come with the repository: every family against what its public code computed."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from vosplug.cli.parity import check
from vosplug.parity import Manifest
from vosplug.parity.tiny import compare_numbers, described, made_clip, numbers, packed, stored, unpacked
from vosplug.utils.errors import DataError

TINY = Path(__file__).with_name("tiny")
FAMILIES = {"stcn": 10, "xmem": 32, "aot": 14, "deaot": 14, "cfbi": 21, "frtm": 17, "g_frtm": 16}
CLIP_CRC, MASK_CRC = 342485614, 2505420069
TOLERANCE = {"max_abs": 1e-5, "max_rel_to_peak": 1e-5}


def test_every_family_has_one():
    assert {path.stem for path in TINY.glob("*.json")} == set(FAMILIES)
    assert all(path.stat().st_size < 12_000 for path in TINY.glob("*.json"))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_number_agrees(family):
    manifest = Manifest.read(TINY / f"{family}.json")
    result = check(manifest, None, torch.float64)
    assert [(row.name, row.fault) for row in result.rows if row.fault] == [] and len(result.rows) == FAMILIES[family]
    assert max(result.stated.values()) <= (1e-4 if "frtm" in family else 1e-5)
    labels = manifest.expected.get("label", manifest.expected.get("argmax"))
    assert len(np.unique(labels)) == 3  # two objects and background are there


def test_what_the_clips_exercise():
    xmem, deaot, gated = (Manifest.read(TINY / f"{name}.json").expected for name in ("xmem", "deaot", "g_frtm"))
    assert max(xmem["long_memory_size"]) == 50 and len(xmem["removals"]) == 1  # consolidated into, and forgotten from
    assert deaot["long_memory_length"].tolist() == [30, 60, 60]  # grows every second frame
    assert set(gated["gate"].ravel()) == {0, 1}


def test_the_clip_is_the_same_everywhere():
    clip = made_clip(3, (20, 30), 2)
    assert clip["frames"].shape == (3, 20, 30, 3) and clip["frames"].dtype == np.uint8
    assert sorted(np.unique(clip["mask2"])) == [0, 1, 2]
    assert zlib.crc32(clip["frames"].tobytes()) == CLIP_CRC and zlib.crc32(clip["mask2"].tobytes()) == MASK_CRC


def test_integers_are_kept_and_real_numbers_sampled():
    label = np.arange(100, dtype=np.uint8).reshape(10, 10)
    entry = json.loads(json.dumps(described(label)))
    assert np.array_equal(stored(entry, "x"), label) and stored(entry, "x").dtype == np.uint8
    assert described(np.array([[3, 4]]))["values"] == [3, 4]
    real = np.linspace(0, 1, 161)
    assert np.allclose(numbers(real), [*(i * 161 // 16 / 160 for i in range(16)), 0.5, np.sqrt((real**2).mean())])
    assert unpacked(packed({"a": [1, 2]}), "x") == {"a": [1, 2]}


@pytest.mark.parametrize("ours, fault", [
    (None, "not computed"), (np.zeros((2, 3)), "shape (2, 3), expected (3, 4)"),
    (np.full((3, 4), np.nan), "not finite"),
    (np.arange(12.0).reshape(3, 4) + [0, 0, 0, 1e-3], "outside"), (np.arange(12.0).reshape(3, 4), "")])
def test_one_wrong_number_fails(ours, fault):
    value = np.arange(12.0).reshape(3, 4)
    row = compare_numbers("x", ours, described(value), stored(described(value), "x"), TOLERANCE)
    assert fault in row.fault and bool(row.fault) == bool(fault)


def test_a_wrong_number_between_the_samples_fails():
    value = np.ones(1000)
    entry = described(value)
    value[3] += 0.1  # no sample, but in the mean
    assert compare_numbers("x", value, entry, stored(entry, "x"), TOLERANCE).fault == "outside the tolerance"


@pytest.mark.parametrize("change, message", [
    (dict(state_dict="no!"), "state_dict is damaged"), (dict(inputs=dict(clip=dict(frames=2))), "clip or an output"),
    (dict(outputs=dict(prob=dict(shape=[2]))), "clip or an output"), (dict(inputs=dict(clip={}), fill=None), "lacks")])
def test_damaged_ones_are_told(tmp_path, change, message):
    content = {**json.loads((TINY / "stcn.json").read_text()), **change}
    (tmp_path / "x.json").write_text(json.dumps({k: v for k, v in content.items() if v is not None}))
    with pytest.raises(DataError, match=message):
        Manifest.read(tmp_path / "x.json")
