"""The benchmark of the tracks' measures: it compares what it says, and its numbers agree."""

import json

import pytest


@pytest.fixture
def compare(tool):
    return tool("compare_vis_metric")


@pytest.mark.parametrize("more", [[], ["--one-category", "--holes", "3"]])
def test_both_ways_give_the_same_numbers(compare, tmp_path, capsys, more):
    path = tmp_path / "out.json"
    assert compare.main(["--videos", "5", "--frames", "4", "--size", "60", "90", "--repeat", "1", "--json", str(path),
                 *more]) == 0
    report = json.loads(path.read_text())
    assert report["difference"] < 1e-9 and 0 < report["numbers"]["vosplug"]["AP"] < 1
    assert "times faster" in capsys.readouterr().out


def test_a_difference_is_an_error(compare, monkeypatch, capsys):
    monkeypatch.setattr(compare, "plain", lambda *case: {**compare.fast(*case), "AP": 0.123})
    assert compare.main(["--videos", "3", "--frames", "2", "--size", "40", "60", "--repeat", "1"]) == 2
    assert "the numbers differ by" in capsys.readouterr().err
